// Every step is all or nothing: passes are run with a failure at each place where they can fail,
// one place after another, and must leave every head as it was; then they must give what a pass
// gives that never failed. A program of its own, since it replaces operator new.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <new>
#include <stdexcept>

#include "base/error.h"
#include "base/parallel.h"
#include "engine/engine.h"
#include "io/random_checkpoint.h"
#include "tests/io/temporary_folder.h"
#include "tests/kvcache/helpers.h"

namespace {

// Allocations until one fails; negative: none does.
std::atomic<int64_t> allocations_left = -1;

bool fails() {
    if (allocations_left.load(std::memory_order_relaxed) < 0) return false;
    return allocations_left.fetch_sub(1) == 0;
}

void* allocate(std::size_t bytes, std::size_t alignment) {
    if (fails()) throw std::bad_alloc();
    void* memory = nullptr;
    if (alignment <= alignof(std::max_align_t)) {
        memory = std::malloc(bytes == 0 ? 1 : bytes);
    } else if (posix_memalign(&memory, alignment, bytes) != 0) {
        memory = nullptr;
    }
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

/// Not inlined: the compiler would see memory of operator new given to free().
[[gnu::noinline]] void release(void* memory) noexcept { std::free(memory); }

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes, 1); }
void* operator new[](std::size_t bytes) { return allocate(bytes, 1); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
    return allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }

#ifdef LOWKEY_ADDRESS_SANITIZER
// oneDNN forgets some of its memory when it is refused more.
extern "C" [[gnu::visibility("default")]] const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libdnnl"; }
#endif

namespace lowkey {
namespace {

constexpr int64_t kHeadDim = 128;  // 32 tokens a page
constexpr int64_t kVocab = 50;
#ifdef LOWKEY_ADDRESS_SANITIZER
constexpr int64_t kStride = 13;  // a pass takes ten times as long
#else
constexpr int64_t kStride = 1;
#endif

struct Refused : std::runtime_error {
    Refused() : std::runtime_error("the observer") {}
};

/// Throws at one of the places where an observer is called; negative: at none.
class Thrower : public ForwardObserver {
public:
    explicit Thrower(int64_t place) : place_(place) {}
    [[nodiscard]] int64_t calls() const { return calls_; }
    void on_projected(const ObservedTokens&) override { call(); }
    void on_rotated(const ObservedTokens&) override { call(); }
    void on_attention(const ObservedTokens&) override { call(); }
    void on_layer_output(int64_t, const float*, int64_t) override { call(); }

private:
    void call() {
        if (calls_++ == place_) throw Refused();
    }
    int64_t place_;
    int64_t calls_ = 0;
};

enum class Look { kCounts, kContents };

/// What can be seen of a sequence's cache: how many of everything and where, or all that is held.
std::vector<double> digest(const SequenceCache& cache, Look look) {
    std::vector<double> all = {static_cast<double>(cache.num_tokens()),
                               static_cast<double>(cache.num_pages())};
    std::vector<float> key(kHeadDim);
    std::vector<float> value(kHeadDim);
    const auto add = [&](int64_t x) { all.push_back(static_cast<double>(x)); };
    const auto add_vectors = [&](const float* k, const float* v) {
        all.insert(all.end(), k, k + kHeadDim);
        all.insert(all.end(), v, v + kHeadDim);
    };
    std::vector<PageView> pages;
    for (int64_t layer = 0; layer < cache.layout().num_layers(); ++layer) {
        for (int64_t h = 0; h < cache.layout().num_kv_heads(); ++h) {
            const HeadCache& head = cache.head(layer, h);
            EXPECT_FALSE(head.in_step());
            add(head.num_tokens());
            add(head.num_held());
            add(head.num_pages());
            add(head.prompt_tokens());
            add(head.seen(head.num_segments() - 1, head.first_position() + head.num_tokens())
                    .begin);
            for (const int64_t position : head.positions()) {
                add(position);
                if (look == Look::kCounts) continue;
                head.read(position, key.data(), value.data());
                add_vectors(key.data(), value.data());
            }
            const CompensationToken mean = head.compensation();
            add(mean.num_tokens);
            all.push_back(mean.position);
            if (mean.num_tokens > 0) add_vectors(mean.key, mean.value);
            for (int64_t s = 0; s < head.num_segments(); ++s) {
                head.segment_pages(s, pages);
                for (const PageView& page : pages) add(page.first_position + page.num_tokens);
            }
        }
    }
    return all;
}

struct Case {
    std::string policy;
    std::string codec;
    CachePlan plan;
};

/// Sequences in a pool, some of which share pages.
struct World {
    World(const std::shared_ptr<const Model>& model, const CachePlan& plan)
        : engine(model, plan, {.prefill_chunk = 24, .num_sequences = 8}) {}

    void add(int64_t num_tokens, uint64_t seed) {
        sequences.push_back(engine.new_sequence());
        if (num_tokens > 0)
            static_cast<void>(engine.prefill_logits(*sequences.back(), ids(num_tokens, seed)));
    }
    static std::vector<int32_t> ids(int64_t count, uint64_t seed) {
        std::vector<int32_t> out;
        for (int64_t i = 0; i < count; ++i) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            out.push_back(static_cast<int32_t>((seed >> 33) % kVocab));
        }
        return out;
    }
    [[nodiscard]] std::vector<std::vector<double>> digests(Look look = Look::kContents) const {
        std::vector<std::vector<double>> all;
        for (const auto& sequence : sequences) all.push_back(digest(*sequence, look));
        const SequenceCache& any = *sequences.front();
        all.push_back({static_cast<double>(any.pool().allocated_bytes()),
                       static_cast<double>(any.pool().free_pages())});
        return all;
    }
    /// What the sequences say next: it depends on all that they hold.
    std::vector<float> next() {
        std::vector<float> all;
        for (const auto& sequence : sequences) {
            for (int32_t token : {7, 11, 13}) {
                const Tensor logits = engine.decode(*sequence, token);
                all.insert(all.end(), logits.f32().begin(), logits.f32().end());
            }
        }
        return all;
    }

    Engine engine;
    std::vector<std::unique_ptr<SequenceCache>> sequences;
};

/// A pass that can fail: what it begins with, and what it does.
struct Pass {
    std::string name;
    std::function<void(World&)> begin;
    std::function<Tensor(World&, ForwardObserver*)> run;
    bool many_tokens = false;
};

Tensor forward(World& world, std::vector<SequenceInput> batch, ForwardObserver* observer,
               int64_t slice = 0) {
    return world.engine.model().forward(batch, observer, slice);
}

std::vector<Pass> passes() {
    const auto prompt = [](int64_t count) {
        return [tokens = World::ids(count, 5)](World& world, ForwardObserver* observer) {
            return forward(world, {{world.sequences[0].get(), tokens, true}}, observer);
        };
    };
    const auto decode = [](World& world, ForwardObserver* observer) {
        const int32_t token = 3;
        return forward(world, {{world.sequences[0].get(), {&token, 1}, false}}, observer);
    };
    const auto alone = [](int64_t count) { return [=](World& world) { world.add(count, 1); }; };
    const auto forked = [](int64_t count) {
        return [=](World& world) {
            world.add(count, 1);
            world.sequences.push_back(world.sequences[0]->fork());
        };
    };
    return {
        {"first prompt", alone(0), prompt(40), true},
        {"further prompt", alone(70), prompt(40), true},
        {"prompt of one token", alone(70), prompt(1)},
        {"decode", alone(50), decode},
        {"decode, new page", alone(64), decode},
        {"decode, page leaves", alone(51), decode},
        {"prompt on shared pages", forked(70), prompt(20), true},
        {"decode on shared pages", forked(70), decode},
        {"batch in slices",
         [](World& world) {
             world.add(33, 1);
             world.add(70, 2);
             world.sequences.push_back(world.sequences[1]->fork());
             world.add(0, 3);
         },
         [first = World::ids(9, 4), second = World::ids(20, 6)](World& world,
                                                                ForwardObserver* observer) {
             const int32_t tokens[] = {8, 9};
             return forward(world,
                            {{world.sequences[0].get(), first, true},
                             {world.sequences[1].get(), {&tokens[0], 1}, false},
                             {world.sequences[2].get(), {&tokens[1], 1}, false},
                             {world.sequences[3].get(), second, true}},
                            observer, 7);
         },
         true},
        {"prompt in chunks", alone(40),
         [tokens = World::ids(60, 9)](World& world, ForwardObserver*) {
             return world.engine.prefill_logits(*world.sequences[0], tokens);
         },
         true},
        {"token and logits", alone(40),
         [](World& world, ForwardObserver*) {
             return world.engine.decode(*world.sequences[0], 5);
         }},
    };
}

class Throw : public TemporaryFolder {
protected:
    static constexpr int64_t kLayers = 2;
    static constexpr int64_t kHeads = 2;

    [[nodiscard]] std::shared_ptr<const Model> model() const {
        const std::string config = file("config.json", R"({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 50,
            "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 128,
            "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "max_position_embeddings": 1024})");
        return Model::load(std::make_shared<const RandomCheckpoint>(config, DType::kF32, 3),
                           {DType::kF32, 512});
    }

    static std::vector<Case> cases() {
        const std::map<std::string, TokenPolicySpec> policies = {
            {"all", {}},
            {"window", {"window", {{"window", int64_t{20}}}}},
            {"window, sinks", {"window", {{"window", int64_t{20}}, {"sinks", int64_t{3}}}}},
            {"re-indexed",
             {"window", {{"window", int64_t{20}}, {"sinks", int64_t{3}}, {"reindex", true}}}},
            {"compensation",
             {"window", {{"window", int64_t{20}}, {"sinks", int64_t{2}}, {"compensation", true}}}},
            {"heavy hitters", {"heavy_hitters", {{"recent", int64_t{12}}, {"heavy", int64_t{30}}}}},
            {"prompt selection",
             {"prompt_selection", {{"observe", int64_t{8}}, {"capacity", int64_t{36}}}}}};
        std::vector<Case> all;
        for (const auto& [policy, spec] : policies) {
            for (const char* codec :
                 {"dense", "low rank", "before rotation", "exact sinks", "coded"}) {
                for (const auto mode : {PrefillAttention::kCompressed, PrefillAttention::kExact}) {
                    const std::string name = codec;
                    CachePlan plan = CachePlan::dense(kLayers, kHeads);
                    plan.prefill_attention = mode;
                    for (auto& layer : plan.layers) {
                        for (HeadPlan& head : layer) {
                            head.policy = spec;
                            if (name == "dense") continue;
                            if (name == "coded") {
                                const bool selects =
                                    policy == "heavy hitters" || policy == "prompt selection";
                                head.value = test::coded(kHeadDim, kHeadDim, 3);
                                head.key = selects ? test::coded(kHeadDim, kHeadDim, 4)
                                                   : test::coded_in_blocks(kHeadDim, 12, 4);
                                head.exact_sinks = 4;
                                head.exact_recent = selects ? 0 : 16;
                                continue;
                            }
                            head.value = test::low_rank(kHeadDim, 24, 5);
                            head.key = test::low_rank(
                                kHeadDim, 40, 7,
                                name == "low rank" ? "after_rotation" : "before_rotation");
                            if (name == "exact sinks" || policy == "re-indexed")
                                head.exact_sinks = 4;
                        }
                    }
                    // Heads of a layer differ in what they do.
                    plan.layers[1][1].policy = {};
                    all.push_back(
                        {policy,
                         name + (mode == PrefillAttention::kExact ? ", exact" : ", compressed"),
                         plan});
                }
            }
        }
        return all;
    }
};

/// Runs a pass with failures of one kind, at places that are `stride` apart, until one is not
/// reached and the pass succeeds; how many there were. What is held is read at some places only:
/// nothing would mend it until the end, where all of it is compared.
int64_t fail_everywhere(World& world, int64_t first, int64_t stride,
                        const std::function<bool(int64_t)>& fails_at) {
    const auto counts = world.digests(Look::kCounts);
    const auto contents = world.digests();
    int64_t count = 0;
    for (int64_t place = first;; place += stride, ++count) {
        if (!fails_at(place)) return count;
        EXPECT_EQ(world.digests(Look::kCounts), counts) << "place " << place;
        if (count % 16 == 0) {
            EXPECT_EQ(world.digests(), contents) << "place " << place;
        }
        if (::testing::Test::HasFailure()) return count;
    }
}

TEST_F(Throw, AFailedStepLeavesEverythingAsItWas) {
    const auto loaded = model();
    std::map<std::string, std::map<std::string, int64_t>> table;
    int64_t total = 0;
    const bool everywhere = std::getenv("LOWKEY_THROW_EVERYWHERE") != nullptr;
    const std::vector<Case> all = cases();
    for (size_t c = 0; c < all.size(); ++c) {
        const Case& own = all[c];
        // Most on one thread, where a place is always the same one.
        const int threads = c % 14 == 0 ? 2 : 1;
        set_num_threads(threads);
        for (const Pass& pass : passes()) {
            SCOPED_TRACE(own.policy + ", " + own.codec + ": " + pass.name);
            World control(loaded, own.plan);
            pass.begin(control);
            Thrower counter(-1);
            const Tensor want = pass.run(control, &counter);

            World world(loaded, own.plan);
            pass.begin(world);
            const auto before = world.digests();
            int64_t places = 0;
            int64_t stride = everywhere ? 1 : kStride;
            places += fail_everywhere(world, 0, stride, [&](int64_t place) {
                if (place >= counter.calls()) {
                    EXPECT_EQ(world.digests(), before);
                    return false;
                }
                Thrower thrower(place);
                EXPECT_THROW(static_cast<void>(pass.run(world, &thrower)), Refused);
                return true;
            });
            Tensor got;
            if (!everywhere && pass.many_tokens) stride *= 41;
            if (!everywhere && !pass.many_tokens && threads > 1) stride *= 5;
            const int64_t first = static_cast<int64_t>(c * 13) % stride;
            places += fail_everywhere(world, first, stride, [&](int64_t place) {
                allocations_left = place;
                try {
                    got = pass.run(world, nullptr);
                    allocations_left = -1;
                    return false;
                } catch (const std::bad_alloc&) {
                    allocations_left = -1;
                    return true;
                }
            });
            ASSERT_FALSE(HasFailure());
            ASSERT_EQ(got.bytes(), want.bytes());
            ASSERT_EQ(std::memcmp(got.data(), want.data(), static_cast<size_t>(want.bytes())), 0);
            ASSERT_EQ(world.digests(), control.digests());
            ASSERT_EQ(world.next(), control.next());
            world.sequences.resize(1);
            PagePool& pool = world.sequences[0]->pool();
            ASSERT_EQ(pool.allocated_bytes(), world.sequences[0]->num_pages() * kPageBytes);
            table[own.policy][own.codec] += places;
            total += places;
        }
    }
    std::cout << "places where a pass was made to fail, none of which left a trace\n";
    for (const auto& [policy, codecs] : table) {
        std::cout << policy << '\n';
        for (const auto& [codec, places] : codecs)
            std::cout << "    " << codec << ": " << places << '\n';
    }
    std::cout << total << " in all, in " << passes().size() << " kinds of passes\n";
}

}  // namespace
}  // namespace lowkey
