#include "model/family.h"

#include "base/error.h"
#include "model/families/llama.h"
#include "model/families/opt.h"
#include "model/families/qwen2.h"

namespace lowkey {
namespace {

// A new family is one file and one line here.
const std::vector<Family>& families() {
    static const std::vector<Family> table = {
        llama_family(),
        qwen2_family(),
        opt_family(),
    };
    return table;
}

}  // namespace

const Family& find_family(const std::string& model_type, const std::string& path) {
    std::string known;
    for (const Family& family : families()) {
        if (family.model_type == model_type) return family;
        known += (known.empty() ? "" : ", ") + family.model_type;
    }
    throw UnsupportedError("unknown model family '" + model_type + "'", path, "known are " + known);
}

}  // namespace lowkey
