#include "io/safetensors.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/json_reader.h"

namespace lowkey {
namespace {

using nlohmann::json;

constexpr int64_t kLengthBytes = 8;
constexpr int64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference implementation
constexpr int64_t kMaxOffset = int64_t{1} << 62;  // an offset plus a header cannot overflow
constexpr int64_t kDataAlignment = 64;
constexpr char kMetadataKey[] = "__metadata__";
constexpr char kGetAgain[] = "the file is damaged or incomplete: get it again";

// One member of the header. `begin` and `end` count from the end of the header.
struct Entry {
    std::string name;
    std::string dtype_text;
    std::optional<DType> dtype;
    Shape shape;
    int64_t begin = 0;
    int64_t end = 0;
};

// Only the format's own spelling: "float32" is no dtype of a safetensors file.
std::optional<DType> parse_file_dtype(const std::string& text) {
    const std::optional<DType> dtype = parse_dtype(text);
    return dtype && file_dtype(*dtype) == text ? dtype : std::nullopt;
}

std::string describe(DType dtype, const Shape& shape) {
    return std::string(dtype_name(dtype)) + " " + to_string(shape);
}

[[noreturn]] void refuse_tensor(const std::string& name, const std::string& what,
                                const std::string& path) {
    throw FileError("tensor '" + name + "' " + what, path, kGetAgain);
}

// The header's JSON text. Checks the 8 bytes before it, which give its length.
std::string_view header_text(const MappedFile& file) {
    const std::string_view text{reinterpret_cast<const char*>(file.bytes().data()),
                                file.bytes().size()};
    if (text.starts_with("version https://git-lfs")) {
        throw FileError("a Git LFS pointer instead of the data it stands for", file.path(),
                        "get the data with `git lfs pull`, or download the file");
    }
    const auto file_bytes = static_cast<int64_t>(text.size());
    if (file_bytes < kLengthBytes) {
        throw FileError("not a safetensors file (it needs at least " +
                            std::to_string(kLengthBytes) + " bytes, and has " +
                            std::to_string(file_bytes) + ")",
                        file.path(), kGetAgain);
    }
    uint64_t length = 0;
    for (size_t i = 0; i < kLengthBytes; ++i) {
        length |= static_cast<uint64_t>(static_cast<unsigned char>(text[i])) << (8 * i);
    }
    if (length == 0 || length > static_cast<uint64_t>(kMaxHeaderBytes)) {
        throw FileError("not a safetensors file, or damaged (its header would be " +
                            std::to_string(length) + " bytes long, allowed are 1 to " +
                            std::to_string(kMaxHeaderBytes) + ")",
                        file.path(), "check that this is a safetensors file, or get it again");
    }
    const auto header_bytes = static_cast<int64_t>(length);
    if (header_bytes > file_bytes - kLengthBytes) {
        throw FileError("file is truncated (the header alone needs " +
                            std::to_string(kLengthBytes + header_bytes) + " bytes, found " +
                            std::to_string(file_bytes) + ")",
                        file.path(), kGetAgain);
    }
    return text.substr(kLengthBytes, static_cast<size_t>(header_bytes));
}

Entry read_entry(const std::string& name, const JsonReader& info) {
    Entry entry;
    entry.name = name;
    entry.dtype_text = info.at("dtype").string();
    entry.dtype = parse_file_dtype(entry.dtype_text);
    // Every partial product must fit, so that num_elements() and bytes() of the view are safe too.
    int64_t bytes = entry.dtype ? dtype_bytes(*entry.dtype) : 1;
    const JsonReader shape = info.at("shape");
    for (const JsonReader& size : shape.items()) {
        entry.shape.push_back(size.integer(0, INT64_MAX));
        if (__builtin_mul_overflow(bytes, entry.shape.back(), &bytes)) {
            refuse_tensor(name, "has more than 2^63 bytes", info.file());
        }
    }
    const JsonReader offsets = info.at("data_offsets");
    const auto range = offsets.items();
    if (range.size() != 2) {
        offsets.fail("expected begin and end, got " + std::to_string(range.size()) + " numbers",
                     kGetAgain);
    }
    entry.begin = range[0].integer(0, kMaxOffset);
    entry.end = range[1].integer(0, kMaxOffset);
    if (entry.end < entry.begin) {
        refuse_tensor(name,
                      "ends before it begins (data_offsets " + std::to_string(entry.begin) + ", " +
                          std::to_string(entry.end) + ")",
                      info.file());
    }
    // How many bytes an unknown dtype takes is unknown too.
    if (entry.dtype && entry.end - entry.begin != bytes) {
        refuse_tensor(name,
                      "has " + std::to_string(entry.end - entry.begin) + " bytes, " +
                          describe(*entry.dtype, entry.shape) + " needs " + std::to_string(bytes),
                      info.file());
    }
    return entry;
}

// Sorts by offset and checks that each tensor begins where the last one ended and that the data
// ends where the file does: what lies between could be anything, and no writer puts it there.
void check_tiling(std::vector<Entry>& entries, int64_t header_end, int64_t file_bytes,
                  const std::string& path) {
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
        return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
    });
    int64_t data_bytes = 0;
    for (const Entry& entry : entries) {
        if (entry.begin != data_bytes) {
            refuse_tensor(entry.name,
                          std::string(entry.begin < data_bytes ? "overlaps the one before it"
                                                               : "leaves a hole before it") +
                              " (it begins at " + std::to_string(entry.begin) + " instead of " +
                              std::to_string(data_bytes) + ")",
                          path);
        }
        data_bytes = entry.end;
    }
    const int64_t expected = header_end + data_bytes;
    if (file_bytes == expected) return;
    std::string sizes =
        std::to_string(expected) + " bytes expected, found " + std::to_string(file_bytes);
    if (file_bytes > expected) {
        throw FileError("file is longer than its header says (" + sizes + ")", path, kGetAgain);
    }
    const auto cut = std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) {
        return entry.end > file_bytes - header_end;
    });
    throw FileError("file is truncated (" + sizes + ", cut at tensor '" + cut->name + "')", path,
                    kGetAgain);
}

bool is_aligned(const std::byte* data, DType dtype) {
    return reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(dtype_bytes(dtype)) == 0;
}

std::string quote(const std::string& text, json::error_handler_t on_bad_utf8) {
    return json(text).dump(-1, ' ', false, on_bad_utf8);
}

// The header's JSON, padded so that the data behind it is aligned.
std::string make_header(const std::vector<std::pair<std::string, TensorView>>& tensors,
                        const std::map<std::string, std::string>& metadata,
                        const std::string& path) {
    std::string text = "{";
    if (!metadata.empty()) {
        text += "\"" + std::string(kMetadataKey) + "\":{";
        for (const auto& [key, value] : metadata) {
            if (text.back() != '{') text += ",";
            text += quote(key, json::error_handler_t::replace) + ":" +
                    quote(value, json::error_handler_t::replace);
        }
        text += "}";
    }
    int64_t offset = 0;
    for (const auto& [name, view] : tensors) {
        const int64_t end = offset + view.bytes();
        if (text.size() > 1) text += ",";
        try {
            text += quote(name, json::error_handler_t::strict);
        } catch (const json::exception&) {
            throw FileError("cannot write a tensor name that is not UTF-8", path,
                            "rename the tensor");
        }
        text += R"(:{"dtype":")" + file_dtype(view.dtype) + R"(","shape":)" +
                to_string(view.shape) + R"(,"data_offsets":)" + to_string({offset, end}) + "}";
        offset = end;
    }
    text += "}";
    while ((kLengthBytes + static_cast<int64_t>(text.size())) % kDataAlignment != 0) text += " ";
    if (static_cast<int64_t>(text.size()) > kMaxHeaderBytes) {
        throw FileError("cannot write a header of " + std::to_string(text.size()) +
                            " bytes, allowed are " + std::to_string(kMaxHeaderBytes),
                        path, "write fewer tensors or less metadata");
    }
    return text;
}

}  // namespace

std::string file_dtype(DType dtype) {
    std::string text(dtype_name(dtype));
    for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return text;
}

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
    const std::string_view text = header_text(file_);
    if (text.front() != '{') {
        throw FileError("not a safetensors file (its header does not start with '{')", path,
                        "check that this is a safetensors file, or get it again");
    }
    const json header = parse_json(text, path, DuplicateKeys::kRefuse);
    std::vector<Entry> entries;
    for (const auto& [name, member] : JsonReader(header, path).members()) {
        if (name != kMetadataKey) {
            entries.push_back(read_entry(name, member));
        } else if (!member.is_null()) {
            for (const auto& [key, value] : member.members()) metadata_[key] = value.string();
        }
    }
    const int64_t header_end = kLengthBytes + static_cast<int64_t>(text.size());
    check_tiling(entries, header_end, static_cast<int64_t>(file_.bytes().size()), path);

    for (Entry& entry : entries) {
        const auto bytes = file_.bytes().subspan(static_cast<size_t>(header_end + entry.begin),
                                                 static_cast<size_t>(entry.end - entry.begin));
        if (!entry.dtype) {
            unsupported_[entry.name] = {entry.dtype_text, std::move(entry.shape), bytes};
        } else if (is_aligned(bytes.data(), *entry.dtype)) {
            tensors_[entry.name] = {bytes.data(), *entry.dtype, std::move(entry.shape)};
        } else {
            Tensor& copy = copies_.emplace_back(*entry.dtype, std::move(entry.shape));
            std::copy(bytes.begin(), bytes.end(), copy.data());
            tensors_[entry.name] = copy.view();
        }
    }
}

const TensorView& SafetensorsFile::tensor(const std::string& name) const {
    const auto found = tensors_.find(name);
    if (found != tensors_.end()) return found->second;
    if (const auto other = unsupported_.find(name); other != unsupported_.end()) {
        throw UnsupportedError(
            "tensor '" + name + "' has dtype " + other->second.dtype + ", which cannot be read",
            path(), "convert the file to f32, f16 or bf16");
    }
    throw FileError("tensor '" + name + "' is missing", path(),
                    "check that this is the right file, or get it again");
}

const TensorView& SafetensorsFile::tensor(const std::string& name, DType dtype,
                                          const Shape& shape) const {
    const TensorView& view = tensor(name);
    const bool fits =
        view.dtype == dtype &&
        std::equal(view.shape.begin(), view.shape.end(), shape.begin(), shape.end(),
                   [](int64_t size, int64_t wanted) { return wanted == -1 || size == wanted; });
    if (!fits) {
        throw FileError("tensor '" + name + "' is " + describe(view.dtype, view.shape) +
                            ", expected " + describe(dtype, shape),
                        path(), "check that this is the right file, or get it again");
    }
    return view;
}

void write_safetensors(const std::string& path, const std::map<std::string, TensorView>& tensors,
                       const std::map<std::string, std::string>& metadata) {
    LOWKEY_CHECK(!tensors.contains(kMetadataKey));
    std::vector<std::pair<std::string, TensorView>> ordered(tensors.begin(), tensors.end());
    std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) {
        return dtype_bytes(a.second.dtype) > dtype_bytes(b.second.dtype);
    });
    AtomicFile file(path);
    const std::string header = make_header(ordered, metadata, path);
    std::string length;
    for (size_t i = 0; i < kLengthBytes; ++i) {
        length += static_cast<char>((header.size() >> (8 * i)) & 0xff);
    }
    file.write(length);
    file.write(header);
    for (const auto& [name, view] : ordered) {
        file.write(std::span(view.data, static_cast<size_t>(view.bytes())));
    }
    file.commit();
}

}  // namespace lowkey
