#include "io/safetensors_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "io/json_reader.h"
#include "tests/io/temporary_folder.h"

namespace lowkey {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

namespace fs = std::filesystem;

const std::string kSharded = LOWKEY_TEST_DATA "/models/llama-sharded";
constexpr char kIndex[] = "model.safetensors.index.json";
constexpr char kSecondShard[] = "model-00002-of-00003.safetensors";

using Tensors = std::map<std::string, TensorView>;

class SafetensorsCheckpointTest : public TemporaryFolder {
protected:
    // Folder `name` with this config and one file of these tensors.
    [[nodiscard]] std::string checkpoint(const std::string& name, const Tensors& tensors,
                                         const std::string& config = "{}") const {
        (void)file(name + "/config.json", config);
        write_safetensors(path(name + "/model.safetensors"), tensors);
        return path(name);
    }
    // A writable copy of the sharded model.
    [[nodiscard]] std::string sharded() const {
        fs::copy(kSharded, path("sharded"));
        return path("sharded");
    }
    void edit_json(const std::string& name, const std::function<void(json&)>& edit) const {
        json document = read_json_file(path(name));
        edit(document);
        (void)file(name, document.dump());
    }
    [[nodiscard]] static std::string open_error(const std::string& directory) {
        return message_of<FileError>([&] { SafetensorsCheckpoint opened(directory); });
    }
};

const std::vector<float> kNumbers = [] {
    std::vector<float> numbers(1000);
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i);
    return numbers;
}();

TensorView numbers_as(DType dtype, const Shape& shape) {
    return {reinterpret_cast<const std::byte*>(kNumbers.data()), dtype, shape};
}

TEST_F(SafetensorsCheckpointTest, ShardedModelOpensAsOne) {
    const SafetensorsCheckpoint model(kSharded + "/");
    EXPECT_EQ(model.directory(), kSharded);
    EXPECT_EQ(model.config_path(), kSharded + "/config.json");
    EXPECT_EQ(model.config().at("model_type"), "llama");
    const json index = read_json_file(kSharded + "/" + kIndex);
    EXPECT_EQ(model.num_parameters() * 4, index.at("metadata").at("total_size").get<int64_t>());
    for (const auto& [name, shard] : index.at("weight_map").items()) {
        EXPECT_TRUE(model.contains(name)) << name;
    }
    EXPECT_EQ(model.tensor("model.embed_tokens.weight", {224, 64}).bytes(), 224 * 64 * 4);
    EXPECT_FALSE(model.contains("lm_head.bias"));
}

TEST_F(SafetensorsCheckpointTest, EveryModelOfTheTestDataOpens) {
    std::set<std::string> fingerprints;
    int64_t count = 0;
    for (const auto& entry : fs::directory_iterator(LOWKEY_TEST_DATA "/models")) {
        if (!entry.is_directory()) continue;
        const SafetensorsCheckpoint model(entry.path().string());
        EXPECT_GT(model.num_parameters(), 0);
        EXPECT_EQ(model.fingerprint().size(), 32);
        EXPECT_TRUE(fingerprints.insert(model.fingerprint()).second) << entry.path();
        ++count;
    }
    EXPECT_GE(count, 12);
}

TEST_F(SafetensorsCheckpointTest, FingerprintDoesNotDependOnShardsOrOrder) {
    const SafetensorsCheckpoint shards(kSharded);
    Tensors all;
    std::vector<std::unique_ptr<SafetensorsFile>> files;
    for (const auto& entry : fs::directory_iterator(kSharded)) {
        if (!entry.path().filename().string().starts_with("model-0")) continue;
        files.push_back(std::make_unique<SafetensorsFile>(entry.path().string()));
        all.insert(files.back()->tensors().begin(), files.back()->tensors().end());
    }
    const SafetensorsCheckpoint whole(checkpoint("whole", all, shards.config().dump()));
    EXPECT_EQ(whole.fingerprint(), shards.fingerprint());
    EXPECT_EQ(whole.num_parameters(), shards.num_parameters());
}

TEST_F(SafetensorsCheckpointTest, FingerprintChangesWithNameDTypeShapeAndSampledBytes) {
    std::set<std::string> fingerprints;
    const auto is_new = [&](const Tensors& tensors, const std::string& config = "{}") {
        return fingerprints
            .insert(SafetensorsCheckpoint(checkpoint("m", tensors, config)).fingerprint())
            .second;
    };
    const Tensors base = {{"x", numbers_as(DType::kF32, {10, 100})}};
    EXPECT_TRUE(is_new(base));
    EXPECT_FALSE(is_new(base));
    EXPECT_TRUE(is_new({{"y", numbers_as(DType::kF32, {10, 100})}}));
    EXPECT_TRUE(is_new({{"x", numbers_as(DType::kI32, {10, 100})}}));
    EXPECT_TRUE(is_new({{"x", numbers_as(DType::kF32, {100, 10})}}));
    EXPECT_TRUE(is_new({{"x", numbers_as(DType::kF32, {10, 99})}}));
    EXPECT_TRUE(
        is_new({{"x", numbers_as(DType::kF32, {10, 100})}, {"y", numbers_as(DType::kF32, {0})}}));
    for (const size_t changed : {size_t{0}, size_t{500}, size_t{999}}) {
        std::vector<float> other = kNumbers;
        other[changed] += 1;
        EXPECT_TRUE(is_new(
            {{"x", {reinterpret_cast<const std::byte*>(other.data()), DType::kF32, {10, 100}}}}))
            << changed;
    }
    EXPECT_TRUE(is_new(base, R"({"rms_norm_eps":1e-5})"));
    EXPECT_TRUE(is_new(base, R"({"rms_norm_eps":1e-6})"));
    EXPECT_TRUE(is_new(base, R"({"rope_scaling":{"factor":8}})"));
    EXPECT_TRUE(is_new(base, R"({"rope_scaling":{"factor":9}})"));
}

TEST_F(SafetensorsCheckpointTest, FingerprintIgnoresWhatSavingAgainChanges) {
    const Tensors tensors = {{"x", numbers_as(DType::kF32, {4})}};
    const SafetensorsCheckpoint a(checkpoint(
        "a", tensors,
        R"({"rope_theta":10000.0,"hidden_size":64,"rope_scaling":null,"torch_dtype":"float32",
            "architectures":["LlamaForCausalLM"],"transformers_version":"4.1","use_cache":true})"));
    const SafetensorsCheckpoint b(
        checkpoint("b", tensors,
                   R"({"hidden_size":64,"rope_theta":10000,"dtype":"float32","eos_token_id":[1,2],
            "_name_or_path":"elsewhere","text_config":null})"));
    EXPECT_EQ(a.fingerprint(), b.fingerprint());
}

TEST_F(SafetensorsCheckpointTest, TensorIsGivenOnlyInTheShapeAsked) {
    const SafetensorsCheckpoint model(checkpoint("m", {{"f32", numbers_as(DType::kF32, {2, 3})},
                                                       {"f64", numbers_as(DType::kF64, {2})},
                                                       {"f16", numbers_as(DType::kF16, {2})},
                                                       {"bf16", numbers_as(DType::kBF16, {2})},
                                                       {"i32", numbers_as(DType::kI32, {2})}}));
    EXPECT_EQ(model.tensor("f32", {2, 3}).as<float>()[5], 5);
    for (const char* name : {"f64", "f16", "bf16"}) {
        EXPECT_EQ(dtype_name(model.tensor(name, {2}).dtype), name);
    }
    EXPECT_EQ(model.num_parameters(), 6 + 3 * 2);

    const std::string weights = path("m/model.safetensors");
    for (const Shape& shape : std::vector<Shape>{{3, 2}, {6}, {2, 3, 1}, {}, {2, -1}}) {
        const std::string message =
            message_of<FileError>([&] { (void)model.tensor("f32", shape); });
        EXPECT_THAT(message, HasSubstr("'f32' is [2, 3], expected " + to_string(shape)));
        EXPECT_THAT(message, HasSubstr(weights));
    }
    const std::string missing = message_of<FileError>([&] { (void)model.tensor("lm_head", {2}); });
    EXPECT_THAT(missing, HasSubstr("'lm_head' [2] is missing: " + weights));
    const std::string integer =
        message_of<UnsupportedError>([&] { (void)model.tensor("i32", {2}); });
    EXPECT_THAT(integer, HasSubstr("'i32' is stored as i32: " + weights));
}

TEST_F(SafetensorsCheckpointTest, UnknownDTypesAreListedAndRefused) {
    (void)file("m/config.json", "{}");
    const std::string header = R"({"w":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}})";
    std::string bytes(8, '\0');
    bytes[0] = static_cast<char>(header.size());
    (void)file("m/model.safetensors", bytes + header + "abcd");
    const SafetensorsCheckpoint a(path("m"));
    EXPECT_TRUE(a.contains("w"));
    EXPECT_THAT(message_of<UnsupportedError>([&] { (void)a.tensor("w", {4}); }),
                HasSubstr("F8_E4M3"));
    (void)file("n/config.json", "{}");
    (void)file("n/model.safetensors", bytes + header + "abce");
    EXPECT_NE(a.fingerprint(), SafetensorsCheckpoint(path("n")).fingerprint());
}

TEST_F(SafetensorsCheckpointTest, OneFileIsPreferredToAnIndex) {
    const std::string model = checkpoint("m", {{"x", numbers_as(DType::kF32, {4})}});
    (void)file("m/" + std::string(kIndex), "not even JSON");
    EXPECT_TRUE(SafetensorsCheckpoint(model).contains("x"));
}

TEST_F(SafetensorsCheckpointTest, FoldersThatAreNoModelAreRefusedWithARemedy) {
    EXPECT_THAT(open_error(path("missing")), HasSubstr("no such folder: " + path("missing") + ";"));
    EXPECT_THAT(open_error(""), HasSubstr("no such folder: ''"));
    EXPECT_THAT(open_error(file("file", "x")), HasSubstr("not a folder: " + path("file") + ";"));
    (void)file("a/model.safetensors", "x");
    EXPECT_THAT(open_error(path("a")), HasSubstr("no config.json: " + path("a") + ";"));
    (void)file("adapter/adapter_config.json", "{}");
    EXPECT_THAT(message_of<UnsupportedError>([&] { SafetensorsCheckpoint m(path("adapter")); }),
                HasSubstr("an adapter, not a model"));
    (void)file("b/config.json", "{}");
    EXPECT_THAT(open_error(path("b")), HasSubstr("no model.safetensors"));
    (void)file("c/config.json", "{");
    EXPECT_THAT(open_error(path("c")), HasSubstr(path("c/config.json")));
    (void)file("d/config.json", "{}");
    (void)file("d/model.safetensors", "x");
    EXPECT_THAT(open_error(path("d")), HasSubstr(path("d/model.safetensors")));
}

TEST_F(SafetensorsCheckpointTest, PickledWeightsAreUnsupported) {
    for (const std::string name : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
        fs::remove_all(path("m"));
        (void)file("m/config.json", "{}");
        (void)file("m/" + name, "x");
        const std::string message =
            message_of<UnsupportedError>([&] { SafetensorsCheckpoint model(path("m")); });
        EXPECT_THAT(message, HasSubstr(path("m")));
        EXPECT_THAT(message, HasSubstr("convert them to safetensors"));
    }
}

TEST_F(SafetensorsCheckpointTest, MissingShardIsNamedWhenSomebodyNeedsIt) {
    const std::string folder = sharded();
    const SafetensorsFile second(folder + "/" + kSecondShard);
    const auto& [lost, view] = *second.tensors().begin();
    fs::remove(folder + "/" + kSecondShard);
    const SafetensorsCheckpoint model(folder);
    const std::string message = message_of<FileError>(
        [&, &lost = lost, &view = view] { (void)model.tensor(lost, view.shape); });
    EXPECT_THAT(message, HasSubstr("shard is missing: " + folder + "/" + kSecondShard));
    EXPECT_THAT(message, HasSubstr(kIndex));
    EXPECT_FALSE(model.contains(lost));
    ASSERT_EQ(model.warnings().size(), 1);
    EXPECT_THAT(model.warnings().front(), HasSubstr(kSecondShard));
    EXPECT_TRUE(SafetensorsCheckpoint(kSharded).warnings().empty());

    for (const auto& entry : fs::directory_iterator(folder)) {
        if (entry.path().filename().string().starts_with("model-0")) fs::remove(entry.path());
    }
    EXPECT_THAT(open_error(folder), HasSubstr("shard is missing")) << "nothing is there";
}

TEST_F(SafetensorsCheckpointTest, TruncatedShardIsNamed) {
    const std::string model = sharded();
    fs::resize_file(model + "/" + kSecondShard, 100000);
    const std::string message = open_error(model);
    EXPECT_THAT(message, HasSubstr("truncated"));
    EXPECT_THAT(message, HasSubstr(model + "/" + kSecondShard));
}

TEST_F(SafetensorsCheckpointTest, ShardPathsThatLeaveTheFolderAreRefused) {
    const std::string model = sharded();
    for (const std::string shard :
         {"../x.safetensors", "/etc/passwd", "a/b", "..", "", "model-00001\n", "x\x01"}) {
        edit_json("sharded/" + std::string(kIndex),
                  [&](json& index) { index["weight_map"]["model.norm.weight"] = shard; });
        const std::string message = open_error(model);
        EXPECT_THAT(message, HasSubstr("not a file name in the model's folder"));
        EXPECT_THAT(message, HasSubstr(model + "/" + kIndex + ", weight_map.model.norm.weight"));
    }
}

TEST_F(SafetensorsCheckpointTest, IndexMustAgreeWithItsShardsOnWhatIsNeeded) {
    const std::string model = sharded();
    const std::string index = "sharded/" + std::string(kIndex);
    const auto need_error = [&](const std::string& name) {
        const SafetensorsCheckpoint checkpoint(model);
        return message_of<FileError>([&] { (void)checkpoint.tensor(name, {64}); });
    };
    edit_json(index, [](json& j) { j["weight_map"]["extra"] = kSecondShard; });
    EXPECT_THAT(need_error("extra"),
                HasSubstr("tensor 'extra' is missing: " + model + "/" + kSecondShard));
    edit_json(index, [](json& j) {
        j["weight_map"].erase("extra");
        std::string& shard = j["weight_map"]["model.norm.weight"].get_ref<std::string&>();
        shard = shard == kSecondShard ? "model-00001-of-00003.safetensors" : kSecondShard;
    });
    EXPECT_THAT(need_error("model.norm.weight"),
                HasSubstr("tensor 'model.norm.weight' is missing"));
}

TEST_F(SafetensorsCheckpointTest, OneTensorInTwoShardsIsRefused) {
    const std::string model = sharded();
    fs::copy_file(model + "/" + kSecondShard, model + "/again.safetensors");
    edit_json("sharded/" + std::string(kIndex), [](json& index) {
        for (auto& [name, shard] : index["weight_map"].items()) {
            if (shard == kSecondShard) {
                shard = "again.safetensors";
                break;
            }
        }
    });
    const std::string message = open_error(model);
    EXPECT_THAT(message, HasSubstr("is in two shards"));
    EXPECT_THAT(message, HasSubstr("again.safetensors"));
    EXPECT_THAT(message, HasSubstr(kSecondShard));
}

TEST_F(SafetensorsCheckpointTest, MalformedIndexIsRefusedByName) {
    (void)file("m/config.json", "{}");
    for (const char* text : {"", "{", "[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})",
                             R"({"weight_map":{"x":1}})"}) {
        (void)file("m/" + std::string(kIndex), text);
        EXPECT_THAT(open_error(path("m")), HasSubstr(path("m") + "/" + kIndex)) << text;
    }
}

}  // namespace
}  // namespace lowkey
