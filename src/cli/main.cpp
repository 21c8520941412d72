#include <malloc.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/escape.h"
#include "cli/commands.h"

namespace {

/// Runs the command; its errors become one line on stderr and the exit code of interface
/// conventions: 1 for a failure at run time, 2 for wrong usage.
int run(int argc, char** argv) {
    CLI::App program("lowkey: large language models with a compressed KV cache", "lowkey");
    program.footer(
        "Example: lowkey generate small -p \"Once upon a time\"\n"
        "MODEL is a Hugging Face directory, or `small` for the built-in model.");
    program.require_subcommand(1);
    program.set_version_flag("--version", LOWKEY_VERSION);
    lowkey::cli::add_info(program);
    lowkey::cli::add_generate(program);
    lowkey::cli::add_chat(program);
    lowkey::cli::add_demo(program);
    lowkey::cli::add_calibrate(program);
    lowkey::cli::add_plan(program);
    lowkey::cli::add_template(program);
    lowkey::cli::add_tokenize(program);
    lowkey::cli::add_detokenize(program);
    lowkey::cli::add_inspect(program);
    lowkey::cli::add_logits(program);
    lowkey::cli::add_eval(program);
    lowkey::cli::add_compare(program);
    lowkey::cli::add_bench(program);
    try {
        program.parse(argc, argv);
        if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
            throw lowkey::FileError("cannot write", "standard output", "is the disk full?");
        }
        return 0;
    } catch (const CLI::Success& success) {  // --help, --version
        return program.exit(success);
    } catch (const CLI::RequiredError& error) {
        const std::vector<std::string> unknown = program.remaining(true);
        const std::string what =
            unknown.empty() ? error.what() : "unknown command: " + unknown.front();
        std::fprintf(stderr, "lowkey: error: %s; see `lowkey --help` and `lowkey COMMAND --help`\n",
                     lowkey::printable(what).c_str());
        return 2;
    } catch (const CLI::Error& error) {
        std::fprintf(stderr, "lowkey: error: %s; see `lowkey --help` and `lowkey COMMAND --help`\n",
                     lowkey::printable(error.what()).c_str());
        return 2;
    } catch (const lowkey::UsageError& error) {
        std::fprintf(stderr, "lowkey: error: %s\n", error.what());
        return 2;
    } catch (const lowkey::Error& error) {
        std::fprintf(stderr, "lowkey: error: %s\n", error.what());
        return 1;
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr,
                     "lowkey: error: out of memory; use a shorter context or a smaller model\n");
        return 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "lowkey: error: %s\n", lowkey::printable(error.what()).c_str());
        return 1;
    }
}

}  // namespace

int main(int argc, char** argv) {
    // Without a fixed threshold malloc learns to keep freed buffers of many megabytes, and memory
    // that a smaller cache saves would not show.
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    return run(argc, argv);
}
