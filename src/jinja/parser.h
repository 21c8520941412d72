#pragma once

#include <string_view>

#include "jinja/ast.h"
#include "jinja/lexer.h"

namespace lowkey::jinja {

/// Parses a template. The grammar, with [optional] and {repeated} parts:
///
///     template    {text | "{{" tuple "}}" | "{%" statement "%}" | comment | raw}
///     statement   if tuple {elif tuple} [else] endif
///                 for targets in tuple [if expression] [recursive] [else] endfor
///                 break | continue
///                 set targets = tuple | set targets {"|" filter} endset
///                 with [target = expression {, target = expression}] endwith
///                 macro name "(" parameters ")" endmacro
///                 call ["(" parameters ")"] call-expression endcall
///                 filter filter {"|" filter} endfilter
///                 generation endgeneration | print expression {, expression}
///     targets     target {, target}; target: name | name.attribute | "(" targets ")"
///     tuple       expression {, expression} [,]
///     expression  or [if or [else expression]]
///     or          and {or and};  and: not {and not};  not: {not} comparison
///     comparison  sum {(== != < <= > >= in "not in") sum}
///     sum         concat {(+ -) concat};  concat: product {~ product}
///     product     power {(* / // %) power};  power: unary {** unary}
///     unary       {+ -} primary {postfix} {"|" filter | is [not] test | call}
///     primary     name | string {string} | number | "(" [tuple] ")" | list | dict
///     postfix     .name | .number | "[" subscript "]" | call
///     subscript   expression | [expression] : [expression] [: [expression]]
///     filter      name [call];  test: name [call | primary {postfix}]
///     call        "(" {argument | name = argument | *argument | **argument} ")"
///
/// Throws SyntaxFailure: what this grammar does not allow, and what is nested too deeply.
Block parse(std::string_view source);

}  // namespace lowkey::jinja
