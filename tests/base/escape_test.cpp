#include "base/escape.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace lowkey {
namespace {

using namespace std::string_literals;

TEST(Printable, NothingSteersTheTerminal) {
    EXPECT_EQ(printable("plain words, Grüße, 漢字, 🙂"),
              "plain words, Grüße, 漢字, 🙂");
    EXPECT_EQ(printable("\x1b[31mred\0\x7f"s), " [31mred  ");
    EXPECT_EQ(printable("a\nb\tc\r"), "a b c ");
    EXPECT_EQ(printable("a\nb\tc\r", Lines::kMany), "a\nb\tc ");
    EXPECT_EQ(printable("\u009b31m \u202e"), " 31m  ") << "C1, and what turns the direction";
    EXPECT_EQ(printable("\x9b\xff"), "\ufffd\ufffd") << "no UTF-8";
    EXPECT_EQ(std::string(Error("a\x1b", "b\u009b", "c\n").what()), "a : b ; c ");
}

TEST(EscapeHtml, WritesWhatMarkupIsMadeOf) {
    EXPECT_EQ(escape_html("<a href=\"b\">'&'</a>"),
              "&lt;a href=&#34;b&#34;&gt;&#39;&amp;&#39;&lt;/a&gt;");
}

}  // namespace
}  // namespace lowkey
