#include "io/model_directory.h"

#include <dlfcn.h>

#include <filesystem>
#include <vector>

#include "base/error.h"

namespace lowkey {
namespace {

namespace fs = std::filesystem;

/// Folders that may be the prefix of an installation of what this code is part of: above the
/// shared library (PREFIX/lib or PREFIX/lib/ARCHITECTURE), and above the program (PREFIX/bin).
std::vector<fs::path> possible_prefixes() {
    std::vector<fs::path> prefixes;
    std::error_code error;
    Dl_info module{};
    if (dladdr(reinterpret_cast<const void*>(&model_directory), &module) != 0 &&
        module.dli_fname != nullptr) {
        const fs::path library = fs::canonical(module.dli_fname, error);
        if (!error) prefixes.push_back(library.parent_path().parent_path());
        if (!error) prefixes.push_back(prefixes.back().parent_path());
    }
    // Of a program that was found through PATH the loader knows no path.
    const fs::path program = fs::canonical("/proc/self/exe", error);
    if (!error) prefixes.push_back(program.parent_path().parent_path());
    return prefixes;
}

}  // namespace

std::string model_directory(const std::string& model) {
    std::error_code ignored;
    if (model != "small" || fs::exists(model, ignored)) return model;
    const fs::path installed = fs::path(LOWKEY_DATA_DIRECTORY) / "models" / model;
    std::vector<fs::path> places;
    for (const fs::path& prefix : possible_prefixes())
        places.push_back(prefix / LOWKEY_RELATIVE_DATA_DIRECTORY / "models" / model);
    places.push_back(fs::path(LOWKEY_SOURCE_DIRECTORY) / "models" / model);
    places.push_back(installed);
    for (const fs::path& place : places) {
        if (fs::exists(place / "config.json", ignored)) return place.string();
    }
    throw FileError("the built-in model is not there", installed.string(), "install lowkey again");
}

}  // namespace lowkey
