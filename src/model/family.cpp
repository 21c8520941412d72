#include "model/family.h"

#include "base/error.h"
#include "model/families/baichuan.h"
#include "model/families/gemma.h"
#include "model/families/glm.h"
#include "model/families/llama.h"
#include "model/families/mistral.h"
#include "model/families/mpt.h"
#include "model/families/opt.h"
#include "model/families/phi3.h"
#include "model/families/qwen2.h"
#include "model/families/qwen3.h"

namespace lowkey {
namespace {

// A new family is one file and one line here.
const std::vector<Family>& families() {
    static const std::vector<Family> table = {
        llama_family(), mistral_family(),  qwen2_family(),  qwen3_family(),       opt_family(),
        mpt_family(),   baichuan_family(), glm_family(),    glm4_family(),        phi3_family(),
        gemma_family(), gemma2_family(),   gemma3_family(), gemma3_text_family(),
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
