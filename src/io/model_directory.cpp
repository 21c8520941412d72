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

/// "Qwen/Qwen2.5-0.5B", as models are called on the Hugging Face hub
bool is_hub_name(const std::string& model) {
    constexpr char kNameChars[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    const size_t slash = model.find('/');
    if (slash == 0 || slash == std::string::npos || slash + 1 == model.size()) return false;
    if (model[0] == '.' || model[slash + 1] == '.') return false;
    return model.find_first_not_of(kNameChars) == slash &&
           model.find_first_not_of(kNameChars, slash + 1) == std::string::npos;
}

/// Says why this is no model's directory, and how to come by one.
[[noreturn]] void refuse(const std::string& model) {
    std::error_code ignored;
    const fs::path path(model);
    const bool gguf = path.extension() == ".gguf";
    if (gguf) {
        throw UnsupportedError("MODEL is a GGUF file, which lowkey does not read yet", model,
                               "give the Hugging Face directory that it was made of "
                               "(config.json, *.safetensors, tokenizer.json)");
    }
    if (fs::exists(path, ignored)) {
        const std::string folder = path.has_parent_path() ? path.parent_path().string() : ".";
        throw FileError("MODEL is a file, not a directory", model,
                        "give the folder with config.json and *.safetensors, perhaps " + folder);
    }
    if (is_hub_name(model)) {
        throw FileError("no such directory", model,
                        "if this is a model of the Hugging Face hub, download it first: "
                        "`huggingface-cli download " +
                            model + " --local-dir " + path.filename().string() +
                            "`, then give that folder");
    }
    throw FileError("no such directory", model,
                    "give a Hugging Face directory, or `small` for the built-in model");
}

}  // namespace

std::string model_directory(const std::string& model) {
    std::error_code ignored;
    if (fs::is_directory(model, ignored)) return model;
    if (model != "small" || fs::exists(model, ignored)) refuse(model);
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
