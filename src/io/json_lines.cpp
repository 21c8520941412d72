#include "io/json_lines.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/size.h"

namespace lowkey {
namespace {

constexpr size_t kMaxLine = size_t{256} << 20;

}  // namespace

void read_json_lines(const std::string& path,
                     const std::function<bool(const JsonReader& line)>& on_line) {
    const MappedFile file(path);
    std::string_view rest(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    for (int64_t number = 1; !rest.empty(); ++number) {
        const std::string where = path + ":" + std::to_string(number);
        const size_t end = std::min(rest.find('\n'), rest.size());
        const std::string_view text = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (text.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        if (text.size() > kMaxLine) {
            throw FileError("a line of " + format_bytes(static_cast<int64_t>(text.size())) +
                                ", more than " + format_bytes(static_cast<int64_t>(kMaxLine)),
                            where, "is it a .jsonl file, one document per line?");
        }
        const nlohmann::json document = parse_json(text, where);
        if (!on_line(JsonReader(document, where))) return;
    }
}

}  // namespace lowkey
