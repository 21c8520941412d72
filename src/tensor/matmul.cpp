#include "tensor/matmul.h"

#include <dnnl.hpp>
#include <unordered_map>

#include "tensor/one_thread.h"

namespace lowkey {
namespace {

dnnl::engine& cpu_engine() {
    static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    return engine;
}

dnnl::memory::desc weights(const MatmulArgs& args, dnnl::memory::data_type type) {
    using dnnl::memory;
    const memory::dims shape = {args.in, args.out};
    switch (args.layout) {
        case WeightLayout::kRows:
            return {shape, type, memory::dims{1, args.in}};
        case WeightLayout::kColumns:
            return {shape, type, memory::dims{args.out, 1}};
        case WeightLayout::kPacked:
            break;
    }
    return {shape, type, memory::format_tag::BA16a64b2a};
}

/// oneDNN's C interface takes void* for inputs too.
dnnl::memory input(const dnnl::memory::desc& desc, const void* data) {
    return {desc, cpu_engine(),
            const_cast<void*>(data)};  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

}  // namespace

void matmul(const MatmulArgs& args) {
    using dnnl::memory;
    const OneThread alone;
    const auto type = args.dtype == DType::kBF16 ? memory::data_type::bf16 : memory::data_type::f32;
    const memory::desc x({args.tokens, args.in}, type, memory::dims{args.in, 1});
    const memory::desc w = weights(args, type);
    const memory::desc y({args.tokens, args.out}, memory::data_type::f32,
                         memory::dims{args.y_stride, 1});
    const memory::desc bias({1, args.out}, memory::data_type::f32, memory::dims{args.out, 1});
    const dnnl::matmul::desc product =
        args.bias == nullptr ? dnnl::matmul::desc(x, w, y) : dnnl::matmul::desc(x, w, bias, y);
    // oneDNN keeps compiled primitives of equal shape, so making one again takes microseconds.
    const dnnl::matmul primitive(dnnl::matmul::primitive_desc(product, cpu_engine()));
    std::unordered_map<int, memory> memories = {{DNNL_ARG_SRC, input(x, args.x)},
                                                {DNNL_ARG_WEIGHTS, input(w, args.w)},
                                                {DNNL_ARG_DST, input(y, args.y)}};
    if (args.bias != nullptr) memories.emplace(DNNL_ARG_BIAS, input(bias, args.bias));
    dnnl::stream stream(cpu_engine());
    primitive.execute(stream, memories);
    stream.wait();
}

}  // namespace lowkey
