#include "cli/command_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "base/atomic_file.h"
#include "base/descriptor.h"
#include "base/error.h"

namespace lowkey::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kRemedy[] = "name another file";

/// Device and number: the same for every name of a file.
using FileId = std::pair<dev_t, ino_t>;
/// What is read, each with the path by which it was found.
using Inputs = std::map<FileId, std::string>;

/// Nothing for what is not there or no regular file.
std::optional<FileId> id_of(const std::string& path) {
    struct stat info = {};
    const int found = path == "-" ? fstat(STDIN_FILENO, &info) : stat(path.c_str(), &info);
    if (found != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
    return FileId{info.st_dev, info.st_ino};
}

/// What a model's folder holds under these names belongs to the model; results may lie beside it.
constexpr std::array kModelNames = {"config.json",
                                    "generation_config.json",
                                    "tokenizer.json",
                                    "tokenizer.model",
                                    "tokenizer_config.json",
                                    "special_tokens_map.json",
                                    "added_tokens.json",
                                    "vocab.json",
                                    "merges.txt",
                                    "tekken.json",
                                    "chat_template.jinja",
                                    "chat_template.json",
                                    "model.safetensors",
                                    "model.safetensors.index.json"};
constexpr std::array kModelExtensions = {".safetensors", ".gguf",  ".bin",
                                         ".jinja",       ".model", ".tiktoken"};

bool is_model_name(const std::string& name) {
    return std::find(kModelNames.begin(), kModelNames.end(), name) != kModelNames.end();
}

bool is_of_model(const fs::path& path) {
    const std::string name = path.filename().string();
    const std::string extension = path.extension().string();
    return is_model_name(name) || name.ends_with(".index.json") ||
           std::find(kModelExtensions.begin(), kModelExtensions.end(), extension) !=
               kModelExtensions.end();
}

template <typename Filter>
void add_folder(Inputs& inputs, const fs::path& folder, const Filter& counts) {
    std::error_code ignored;  // what cannot be read is told when it is
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
        const std::string path = entry.path().string();
        if (const auto id = id_of(path); id && counts(entry.path())) inputs.emplace(*id, path);
    }
}

Inputs find_inputs(const std::string& model, const std::vector<std::string>& reads) {
    Inputs inputs;
    std::error_code ignored;
    if (!model.empty()) {
        add_folder(inputs, model, is_of_model);
        add_folder(inputs, fs::path(model) / "additional_chat_templates", is_of_model);
    }
    for (const std::string& path : reads) {
        if (const auto id = id_of(path); id) inputs.emplace(*id, path);
        if (fs::is_directory(path, ignored))
            add_folder(inputs, path, [](const fs::path& /*any*/) { return true; });
    }
    return inputs;
}

/// Where an output will lie, through all links.
fs::path place_of(const std::string& path) {
    std::error_code error;
    fs::path place = fs::weakly_canonical(path, error);
    return error ? fs::path(path) : place;
}

void check_output(const std::string& path, const std::string& model, const Inputs& inputs) {
    if (const auto id = id_of(path); id) {
        const auto found = inputs.find(*id);
        if (found == inputs.end()) return;
        const std::string names =
            found->second == path ? path : path + " is the same file as " + found->second;
        throw UsageError("the result would replace what it is made of", names, kRemedy);
    }
    const fs::path place = place_of(path);
    std::error_code ignored;
    if (model.empty() || !is_model_name(place.filename().string())) return;
    if (fs::equivalent(place.parent_path(), model, ignored)) {
        throw UsageError("the result would become a part of the model", path, kRemedy);
    }
}

/// A pipe or device takes any number of results.
bool is_stream(const std::string& path) {
    struct stat info = {};
    return descriptor_of(path) || (stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode));
}

}  // namespace

void check_files(const CommonOptions& options, const CommandFiles& files) {
    std::vector<std::string> reads = files.reads;
    reads.push_back(options.plan);
    std::erase(reads, "");
    const std::string model = options.model.empty() ? "" : model_directory(options.model);
    const Inputs inputs = find_inputs(model, reads);
    std::map<fs::path, std::string> places;
    std::map<FileId, std::string> ids;
    for (const std::string& path : files.writes) {
        if (path.empty()) continue;
        check_writable(path);
        if (is_stream(path)) continue;
        check_output(path, model, inputs);
        const auto id = id_of(path);
        const bool once =
            places.emplace(place_of(path), path).second && (!id || ids.emplace(*id, path).second);
        if (!once) throw UsageError("two results would be one file", path, kRemedy);
    }
}

std::string part_of(const std::string& output) { return is_stream(output) ? "" : output + ".part"; }

}  // namespace lowkey::cli
