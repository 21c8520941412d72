// Any model.safetensors.index.json is either refused with an Error or opens its shards.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/error.h"
#include "io/quantization.h"
#include "io/safetensors.h"
#include "io/safetensors_checkpoint.h"

namespace {

/// A model's directory with a configuration and one shard, gone at exit.
class Directory {
public:
    Directory() {
        std::string name = (std::filesystem::temp_directory_path() / "index_fuzz.XXXXXX").string();
        LOWKEY_CHECK(mkdtemp(name.data()) != nullptr);
        path_ = name;
        write("config.json", "{}");
        const lowkey::Tensor a(lowkey::DType::kF32, {2, 2});
        lowkey::write_safetensors(path_ + "/a.safetensors", {{"a", a.view()}, {"b", a.view()}});
    }
    ~Directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }
    void write(const std::string& name, std::string_view bytes) const {
        std::ofstream(path_ + "/" + name, std::ios::binary) << bytes;
    }

private:
    std::string path_;
};

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer calls it by this name
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input{reinterpret_cast<const char*>(data), size};
    static const Directory directory;
    directory.write("model.safetensors.index.json", input);
    try {
        const lowkey::SafetensorsCheckpoint checkpoint(directory.path());
        LOWKEY_CHECK(checkpoint.num_parameters() <= 8);
        LOWKEY_CHECK(lowkey::quantization_of(checkpoint).empty());
        LOWKEY_CHECK(checkpoint.warnings().size() <= 1);
        for (const std::string& name : checkpoint.names()) {
            // The index may say that another shard has it.
            try {
                LOWKEY_CHECK(checkpoint.tensor(name, {2, 2}).bytes() == 16);
            } catch (const lowkey::FileError&) {
                LOWKEY_CHECK(!checkpoint.warnings().empty());
            }
        }
    } catch (const lowkey::Error&) {
        // Refused, as most inputs must be.
    }
    return 0;
}
