#include "cli/comparison_output.h"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "base/atomic_file.h"
#include "base/cpu.h"
#include "base/error.h"
#include "base/parallel.h"
#include "kernels/kernels.h"
#include "report/html.h"
#include "report/markdown.h"
#include "report/plan_summary.h"

namespace lowkey::cli {
namespace {

constexpr char kHtml[] = ".html";

}  // namespace

ReportFiles::ReportFiles(const std::string& html_path) : html(html_path) {
    const std::filesystem::path path(html_path);
    if (path.extension() != kHtml || path.stem().empty()) {
        throw UsageError("the report is a page", html_path, "give a name that ends in .html");
    }
    markdown = std::filesystem::path(path).replace_extension(".md").string();
    json = std::filesystem::path(path).replace_extension(".json").string();
}

void ReportFiles::write(const ComparisonReport& report) const {
    const std::string numbers =
        to_json(report).dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    AtomicFile page(html);
    AtomicFile summary(markdown);
    AtomicFile object(json);
    page.write(report_html(report));
    summary.write(report_markdown(report));
    object.write(numbers);
    page.commit();
    summary.commit();
    object.commit();
}

void describe_setup(const CommonOptions& options, ComparisonReport& report) {
    report.version = LOWKEY_VERSION;
    report.processor = cpu_name();
    report.isa = kernels().isa;
    report.threads = num_threads();
    report.dtype = options.dtype;
}

std::string base_name(const std::string& path) {
    // A folder may be written with a slash behind it.
    const std::filesystem::path clean = std::filesystem::path(path).lexically_normal();
    return clean.has_filename() ? clean.filename().string()
                                : clean.parent_path().filename().string();
}

std::string command_of(const CLI::App& app, const std::string& model,
                       const std::set<std::string>& paths, const std::set<std::string>& left_out) {
    std::string command = fmt::format("lowkey {} {}", app.get_name(), shell_word(base_name(model)));
    for (const CLI::Option* option : app.get_options()) {
        if (option->count() == 0 || option->get_lnames().empty()) continue;
        const std::string& name = option->get_lnames().front();
        if (left_out.count(name) > 0) continue;
        const bool flag = option->get_expected_max() == 0;
        if (flag) {
            command += fmt::format(" --{}", name);
            continue;
        }
        std::string joined;
        for (const std::string& value : option->results()) {
            const std::string shown = paths.count(name) > 0 ? base_name(value) : value;
            if (option->get_delimiter() != '\0') {
                joined +=
                    joined.empty() ? shown : fmt::format("{}{}", option->get_delimiter(), shown);
            } else {
                command += fmt::format(" --{} {}", name, shell_word(shown));
            }
        }
        if (!joined.empty()) command += fmt::format(" --{} {}", name, shell_word(joined));
    }
    return command;
}

}  // namespace lowkey::cli
