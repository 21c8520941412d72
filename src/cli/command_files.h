#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace lowkey::cli {

/// The files of a command: what it reads, which nothing may replace, and what it will write.
struct CommandFiles {
    /// Files and folders of files. Those of MODEL and of --plan come by themselves.
    std::vector<std::string> reads = {};
    /// All of them: a report's siblings and journals, too. Empty ones are not asked for.
    std::vector<std::string> writes = {};
};

/// Comes before any work, so that no result is lost at its end and no input at all. Throws
/// UsageError when a file to be written is one that is read (by whatever name: links, another
/// path), belongs to the model, or is to be written twice; FileError when it cannot be written.
/// What is no regular file is written into and endangers nothing.
void check_files(const CommonOptions& options, const CommandFiles& files);

/// Where an unfinished result stays until it is written to `output`; empty for devices and pipes,
/// beside which nothing belongs.
std::string part_of(const std::string& output);

}  // namespace lowkey::cli
