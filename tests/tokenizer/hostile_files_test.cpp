// Files are not trusted: whatever is wrong with one is an error that names it.
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <random>
#include <sstream>

#include "base/error.h"
#include "tests/tokenizer/golden.h"
#include "tokenizer/tokenizer.h"

namespace lowkey {
namespace {

using nlohmann::json;

std::string file_text(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

json golden_json(const std::string& name) {
    return json::parse(file_text(golden_folder(name) + "/tokenizer.json"));
}

// Loads a directory that holds only this tokenizer.json.
std::shared_ptr<const Tokenizer> load(const json& document) {
    const CopiedFolder folder("llama3", {});
    folder.write("tokenizer.json", document.dump());
    return Tokenizer::load(folder.path());
}

template <typename Expected>
void expect_error(const json& document, const std::string& part) {
    try {
        load(document);
        ADD_FAILURE() << "loads: " << part;
    } catch (const Expected& e) {
        const std::string what = e.what();
        EXPECT_NE(what.find("tokenizer.json"), std::string::npos) << what;
        EXPECT_NE(what.find(part), std::string::npos) << what;
    } catch (const std::exception& e) {
        ADD_FAILURE() << "another error: " << e.what();
    }
}

struct Mutation {
    const char* base;
    const char* pointer;  // a JSON pointer into tokenizer.json
    json value;
    const char* message;  // what the error says
};

TEST(HostileTokenizerJson, IsAFileErrorThatNamesTheFile) {
    const std::string too_long(5000, 'x');
    const Mutation mutations[] = {
        {"llama3", "", json::array(), "expected an object"},
        {"llama3", "", 5, "expected an object"},
        {"llama3", "/model", nullptr, "model"},
        {"llama3", "/model", json::array(), "model"},
        {"llama3", "/model/type", 3, "expected a string"},
        {"llama3", "/model/vocab", json::array(), "expected an object"},
        {"llama3", "/model/vocab/a", "x", "token 'a'"},
        {"llama3", "/model/vocab/a", -1, "from 0 to"},
        {"llama3", "/model/vocab/a", 1.5, "whole number"},
        {"llama3", "/model/vocab/a", 1 << 24, "from 0 to"},
        {"llama3", "/model/vocab/a", 18446744073709551615ULL, "from 0 to"},
        {"llama3", "/model/vocab/a", 65, "two tokens have the id 65"},
        {"llama3", "/model/vocab/a", nullptr, "token 'a'"},
        {"llama3", "/model/merges", "x", "expected an array"},
        {"llama3", "/model/merges/7", 3, "merges[7]"},
        {"llama3", "/model/merges/7", "one", "merges[7]"},
        {"llama3", "/model/merges/7", "a b c", "merges[7]"},
        {"llama3", "/model/merges/7", "nowhere b", "'nowhere', which is not in the vocabulary"},
        {"llama3", "/model/merges/7", "Q Ż", "not in the vocabulary"},
        {"deepseek", "/model/merges/7", json::array({"a"}), "merges[7]"},
        {"deepseek", "/model/merges/7", json::array({"a", 1}), "merges[7]"},
        {"llama3", "/model/byte_fallback", "yes", "expected true or false"},
        {"llama3", "/model/unk_token", "nowhere", "not in the vocabulary"},
        {"llama3", "/model/unk_token", 4, "expected a string"},
        {"llama3", "/added_tokens", 1, "expected an array"},
        {"llama3", "/added_tokens/0", 1, "added_tokens[0]"},
        {"llama3", "/added_tokens/0/id", -5, "added_tokens[0].id"},
        {"llama3", "/added_tokens/0/id", 99999999, "added_tokens[0].id"},
        {"llama3", "/added_tokens/0/id", 7, "two tokens have the id 7"},
        {"llama3", "/added_tokens/0/id", 3999, "two tokens have the id 3999"},
        {"llama3", "/added_tokens/0/content", 7, "expected a string"},
        {"llama3", "/added_tokens/0/content", too_long, "too long"},
        {"llama3", "/added_tokens/0/content", "<|eot_id|>", "two ids"},
        {"llama3", "/pre_tokenizer", "x", "expected an object"},
        {"llama3", "/pre_tokenizer/pretokenizers", 3, "expected an array"},
        {"llama3", "/pre_tokenizer/pretokenizers/0/pattern", 3, "pattern"},
        {"llama3", "/pre_tokenizer/pretokenizers/0/pattern/Regex", "(", "malformed regular"},
        {"llama3", "/pre_tokenizer/pretokenizers/0/pattern/Regex", "a{65536}", "malformed regular"},
        {"llama3", "/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\p{Nowhere}", "malformed"},
        {"llama3", "/pre_tokenizer/pretokenizers/0/behavior", "Sideways", "split behavior"},
        {"llama3", "/pre_tokenizer/pretokenizers/1/use_regex", 1, "expected true or false"},
        {"llama3", "/post_processor/processors", 1, "expected an array"},
        {"llama3", "/post_processor/processors/1/special_tokens", json::object(), "begin_of_text"},
        {"llama3", "/post_processor/processors/1/single", json::array(), "no place for the text"},
        {"llama2", "/normalizer/normalizers/0/prepend", 1, "expected a string"},
        {"llama2", "/normalizer/normalizers/1/pattern", json::object(), "String"},
        {"llama2", "/decoder/decoders/3/content", "ab", "one character"},
        {"llama2", "/decoder/decoders/3/start", -1, "start"},
        {"llama2", "/decoder/decoders/3/stop", 1.5, "stop"},
    };
    for (const Mutation& mutation : mutations) {
        json document = golden_json(mutation.base);
        document[json::json_pointer(mutation.pointer)] = mutation.value;
        SCOPED_TRACE(std::string(mutation.pointer) + " = " + mutation.value.dump().substr(0, 60));
        expect_error<FileError>(document, mutation.message);
    }
}

TEST(HostileTokenizerJson, UnknownComponentsAreNamed) {
    const json component = {{"type", "Nowhere"}};
    for (const char* place : {"/normalizer", "/pre_tokenizer", "/post_processor", "/decoder",
                              "/model/type", "/decoder/decoders/0", "/normalizer/normalizers/1"}) {
        json document = golden_json("llama2");
        const json::json_pointer pointer(place);
        document[pointer] = std::string(place).ends_with("type") ? json("Nowhere") : component;
        expect_error<UnsupportedError>(document, "'Nowhere'");
    }
    json document = golden_json("llama2");
    document["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", ""}};
    expect_error<UnsupportedError>(document, "'Precompiled'");
    document = golden_json("llama3");
    document["model"]["dropout"] = 0.1;
    expect_error<UnsupportedError>(document, "dropout");
    document = golden_json("llama3");
    document["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a)\\1";
    expect_error<UnsupportedError>(document, "\\1");
}

TEST(HostileTokenizerJson, MissingMembersAreFileErrors) {
    for (const char* name : {"llama3", "llama2"}) {
        for (const char* member : {"vocab", "merges"}) {
            json document = golden_json(name);
            document["model"].erase(member);
            expect_error<FileError>(document, member);
        }
    }
}

TEST(HostileTokenizerJson, CutFilesAreFileErrors) {
    const std::string text = file_text(golden_folder("deepseek") + "/tokenizer.json");
    const CopiedFolder folder("deepseek", {});
    for (size_t length = 0; length < text.size(); length += 997) {
        folder.write("tokenizer.json", text.substr(0, length));
        EXPECT_THROW(Tokenizer::load(folder.path()), FileError) << length;
    }
    folder.write("tokenizer.json", text.substr(0, 200) + "\xFF" + text.substr(200));
    EXPECT_THROW(Tokenizer::load(folder.path()), FileError);
}

// Any load that succeeds must also run.
TEST(HostileTokenizerJson, ChangedBytesNeverCrash) {
    const CopiedFolder folder("llama2", {});
    std::mt19937 random(11);
    for (const char* name : {"llama2", "falcon"}) {
        const std::string text = golden_json(name).dump();
        for (int i = 0; i < 60; ++i) {
            std::string changed = text;
            for (int k = 0; k < 3; ++k)
                changed[random() % changed.size()] = static_cast<char>(32 + random() % 95);
            folder.write("tokenizer.json", changed);
            try {
                const auto tokenizer = Tokenizer::load(folder.path());
                static_cast<void>(tokenizer->decode(
                    tokenizer->encode("Hello  wörld 你好 123\n</s>", true), false));
            } catch (const Error&) {  // as good
            }
        }
    }
}

TEST(HostileTokenizerJson, EndlessBacktrackingIsAnError) {
    json document = golden_json("llama3");
    document["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(?:a+a+)+(?:b|d)";
    const auto tokenizer = load(document);
    EXPECT_THROW(static_cast<void>(tokenizer->encode(std::string(5000, 'a') + "c", false)),
                 FileError);
    EXPECT_FALSE(tokenizer->encode("aab", false).empty());
}

TEST(HostileDirectories, AreFileErrors) {
    EXPECT_THROW(Tokenizer::load("/no/such/directory"), FileError);
    EXPECT_THROW(Tokenizer::load(""), FileError);
    EXPECT_THROW(Tokenizer::load(golden_folder("llama3") + "/tokenizer.json"), FileError);
    const CopiedFolder empty("llama3", {});
    EXPECT_THROW(Tokenizer::load(empty.path()), FileError);
    empty.write("vocab.json", "{}");
    EXPECT_THROW(Tokenizer::load(empty.path()), FileError);
}

TEST(HostileConfig, IsAFileErrorThatNamesTheFile) {
    for (const char* text : {"", "[]", "{\"bos_token\": 3}", "{\"add_bos_token\": \"yes\"}",
                             "{\"eos_token\": {\"content\": 1}}", "{\"bos_token\": {}}",
                             "{\"added_tokens_decoder\": {\"x\": {\"content\": \"a\"}}}",
                             "{\"added_tokens_decoder\": {\"-4\": {\"content\": \"a\"}}}"}) {
        const CopiedFolder folder("llama3", {"tokenizer.json"});
        folder.write("tokenizer_config.json", text);
        try {
            Tokenizer::load(folder.path());
            ADD_FAILURE() << text;
        } catch (const FileError& e) {
            EXPECT_NE(std::string(e.what()).find("tokenizer_config.json"), std::string::npos)
                << e.what();
        }
    }
}

TEST(HostileMerges, AreFileErrorsWithTheLine) {
    for (const char* text : {"#version: 0.2\nh e\nx\n", "a b c\n", "nowhere e\n", "\xFF e\n"}) {
        const CopiedFolder folder("opt", {"vocab.json"});
        folder.write("merges.txt", text);
        try {
            Tokenizer::load(folder.path());
            ADD_FAILURE() << text;
        } catch (const FileError& e) {
            EXPECT_NE(std::string(e.what()).find("merges.txt, line "), std::string::npos)
                << e.what();
        }
    }
}

}  // namespace
}  // namespace lowkey
