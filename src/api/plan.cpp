#include "lowkey/plan.h"

#include <algorithm>

#include "api/access.h"
#include "base/error.h"
#include "compress/compose.h"
#include "compress/planner.h"
#include "io/fingerprint.h"

namespace lowkey::api {
namespace {

CodecPart to_public(const lowkey::CodecPart& part) {
    CodecPart out{part.name, part.settings, {}};
    for (const auto& [name, tensor] : part.tensors)
        out.matrices.emplace(name, Access::matrix(tensor));
    return out;
}

lowkey::CodecPart from_public(const CodecPart& part) {
    lowkey::CodecPart out{part.name, part.settings, {}};
    for (const auto& [name, matrix] : part.matrices) out.tensors[name] = Access::tensor(matrix);
    return out;
}

CodecSpec to_public(const lowkey::CodecSpec& spec) {
    return {to_public(spec.map), to_public(spec.store)};
}

lowkey::CodecSpec from_public(const CodecSpec& spec) {
    return {from_public(spec.map), from_public(spec.store)};
}

/// The entry of a head in a plan or a const one.
template <typename File>
auto& entry(File& file, int64_t layer, int64_t kv_head) {
    auto& layers = file.plan.layers;
    check_range("layer", layer, 0, std::ssize(layers) - 1);
    auto& heads = layers[static_cast<size_t>(layer)];
    check_range("kv_head", kv_head, 0, std::ssize(heads) - 1);
    return heads[static_cast<size_t>(kv_head)];
}

}  // namespace

Matrix::Matrix(std::shared_ptr<const Tensor> tensor) : tensor_(std::move(tensor)) {}

Matrix::Matrix(int64_t rows, int64_t columns, std::span<const float> values) {
    check_range("rows", rows, 1, kMaxModelSize);
    check_range("columns", columns, 1, kMaxModelSize);
    if (std::ssize(values) != rows * columns) {
        throw UsageError(std::to_string(values.size()) + " values for a matrix [" +
                             std::to_string(rows) + ", " + std::to_string(columns) + "]",
                         "", "give one for each element");
    }
    Tensor tensor(DType::kF32, {rows, columns});
    std::copy(values.begin(), values.end(), tensor.f32().begin());
    tensor_ = std::make_shared<const Tensor>(std::move(tensor));
}

int64_t Matrix::rows() const { return tensor_->dim(0); }
int64_t Matrix::columns() const { return tensor_->dim(1); }
std::span<const float> Matrix::values() const { return tensor_->f32(); }

Plan::Plan(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Plan::Plan(const Plan& other) : impl_(std::make_unique<Impl>(*other.impl_)) {}
Plan::Plan(Plan&& other) noexcept = default;
Plan& Plan::operator=(Plan other) noexcept {
    impl_ = std::move(other.impl_);
    return *this;
}
Plan::~Plan() = default;

Plan Plan::uncompressed(const Model& model) {
    const ModelInfo& info = model.info();
    PlanFile file;
    file.plan = CachePlan::dense(info.num_layers, info.num_kv_heads);
    file.method = "uncompressed";
    file.fingerprint = info.fingerprint;
    file.head_dim = info.head_dim;
    return Access::plan(std::move(file));
}

Plan Plan::make(const Model& model, const std::string& method, const PlanOptions& options) {
    const Planner& planner = find_planner(method);
    check_ids(model, options.ids);
    PlanRequest request;
    request.model = Access::model(model);
    request.settings = options.settings;
    request.prefill_attention = options.prefill_attention;
    request.ids = options.ids;
    if (options.statistics) {
        request.stats = &Access::stats(*options.statistics);
        if (!same_checkpoint(request.stats->fingerprint, model.info().fingerprint)) {
            throw UsageError("statistics of another model",
                             "they are of the checkpoint " + request.stats->fingerprint +
                                 ", this one is " + model.info().fingerprint,
                             "collect statistics of this model");
        }
    }
    return Access::plan(planner.make(request));
}

Plan Plan::compose(std::span<const Plan> parts) {
    if (parts.empty()) throw UsageError("no plans to compose", "", "give at least one");
    std::vector<PlanFile> files;
    for (const Plan& part : parts) files.push_back(part.impl_->file);
    return Access::plan(compose_plans(files));
}

Plan Plan::load(const std::string& path) { return Access::plan(read_plan(path)); }

void Plan::save(const std::string& path) const {
    static_cast<void>(plan_layout(impl_->file));
    write_plan(path, impl_->file);
}

int64_t Plan::num_layers() const { return std::ssize(impl_->file.plan.layers); }
int64_t Plan::num_kv_heads() const { return std::ssize(impl_->file.plan.layers.front()); }
int64_t Plan::head_dim() const { return impl_->file.head_dim; }

HeadPlan Plan::head(int64_t layer, int64_t kv_head) const {
    const lowkey::HeadPlan& head = entry(impl_->file, layer, kv_head);
    return {head.policy, to_public(head.key), to_public(head.value), head.exact_sinks,
            head.exact_recent};
}

void Plan::set_head(int64_t layer, int64_t kv_head, const HeadPlan& head) {
    entry(impl_->file, layer, kv_head) = {head.policy, from_public(head.key),
                                          from_public(head.value), head.exact_sinks,
                                          head.exact_recent};
    forget_measured(impl_->file);
}

PrefillAttention Plan::prefill_attention() const { return impl_->file.plan.prefill_attention; }
void Plan::set_prefill_attention(PrefillAttention mode) {
    impl_->file.plan.prefill_attention = mode;
    forget_measured(impl_->file);
}

std::string Plan::method() const { return impl_->file.method; }
void Plan::set_method(const std::string& method) { impl_->file.method = method; }
void Plan::record(const std::string& setting, const Setting& value) {
    std::visit([&](const auto& v) { impl_->file.settings[setting] = v; }, value);
}
std::string Plan::fingerprint() const { return impl_->file.fingerprint; }
std::string Plan::to_json() const {
    return plan_to_json(impl_->file).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

PlanBytes Plan::bytes(int64_t num_tokens) const {
    check_range("num_tokens", num_tokens, 0, kMaxModelSize);
    const lowkey::PlanBytes bytes = plan_bytes(impl_->file, num_tokens);
    return {bytes.allocated, bytes.full};
}

void Plan::check(const Model& model) const {
    const lowkey::Model& own = *Access::model(model);
    check_plan_fits(impl_->file, "the plan", own);
    const CacheLayout checked(impl_->file.plan, own.cache_shape());
}

std::vector<PlannerInfo> planners() {
    std::vector<PlannerInfo> out;
    for (const Planner& planner : lowkey::planners()) out.push_back({planner.name, planner.what});
    return out;
}

}  // namespace lowkey::api
