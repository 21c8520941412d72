#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "tests/io/temporary_folder.h"

namespace lowkey {

/// The program's arguments.
using Command = std::vector<std::string>;

inline Command operator+(Command command, const Command& more) {
    command.insert(command.end(), more.begin(), more.end());
    return command;
}

/// Runs the built program as a user would.
class Program : public TemporaryFolder {
protected:
    struct Result {
        int exit_code = -1;
        std::string out;
        std::string err;
        [[nodiscard]] nlohmann::json json() const { return nlohmann::json::parse(out); }
    };

    /// `input` is what it finds on standard input.
    [[nodiscard]] Result run(const Command& arguments, const std::string& input = "") const {
        std::string command = quoted(LOWKEY_PROGRAM);
        for (const std::string& argument : arguments) command.append(" ").append(quoted(argument));
        command += " 2>" + quoted(path("stderr")) + " <" + quoted(file("stdin", input));
        Result result;
        FILE* pipe = popen(command.c_str(), "r");
        if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
        std::array<char, 4096> buffer{};
        size_t count = 0;
        while ((count = fread(buffer.data(), 1, buffer.size(), pipe)) > 0) {
            result.out.append(buffer.data(), count);
        }
        const int status = pclose(pipe);
        result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        result.err = read("stderr");
        std::filesystem::remove(path("stderr"));
        std::filesystem::remove(path("stdin"));
        return result;
    }
    /// The message of a run that must fail with `exit_code`: one line, and nothing else.
    [[nodiscard]] std::string refusal(const Command& arguments, int exit_code) const {
        const Result result = run(arguments);
        EXPECT_EQ(result.exit_code, exit_code) << result.err;
        EXPECT_EQ(result.out, "");
        EXPECT_EQ(result.err.rfind("lowkey: error: ", 0), 0) << result.err;
        EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << result.err;
        return result.err;
    }
    /// The one JSON object that a successful run prints.
    [[nodiscard]] nlohmann::json json_of(Command arguments) const {
        arguments.emplace_back("--json");
        const Result result = run(arguments);
        EXPECT_EQ(result.exit_code, 0) << result.err;
        const auto json = nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
        EXPECT_TRUE(json.is_object()) << result.out;
        EXPECT_EQ(result.out.find('\n'), result.out.size() - 1) << "more than one object";
        return json;
    }

    /// Writes token ids [n], or [rows, n] where `rows` is given.
    [[nodiscard]] std::string write_ids(const std::string& name, const std::vector<int64_t>& ids,
                                        int64_t rows = 0) const {
        const auto count = static_cast<int64_t>(ids.size());
        Tensor tensor(DType::kI64, rows == 0 ? Shape{count} : Shape{rows, count / rows});
        std::copy(ids.begin(), ids.end(), tensor.as<int64_t>().begin());
        write_safetensors(path(name), {{"input_ids", tensor.view()}});
        return path(name);
    }

    static std::string golden(const std::string& name) {
        return std::string(LOWKEY_TEST_DATA) + "/models/" + name;
    }
    /// A copy of a tiny checkpoint, to be spoiled.
    [[nodiscard]] std::string copy_of(const std::string& name) const {
        const std::string to = path("model");
        std::filesystem::remove_all(to);
        std::filesystem::copy(golden(name), to, std::filesystem::copy_options::recursive);
        for (const auto& entry : std::filesystem::directory_iterator(to)) {
            std::filesystem::permissions(entry, std::filesystem::perms::owner_write,
                                         std::filesystem::perm_options::add);
        }
        return to;
    }

private:
    static std::string quoted(const std::string& text) {
        std::string out(1, '\'');
        for (const char c : text) {
            if (c == '\'') out += "'\\'";
            out += c;
        }
        out += '\'';
        return out;
    }
};

}  // namespace lowkey
