#!/usr/bin/env python3
"""Writes tests/data/jinja/cases.jsonl: templates as jinja2 renders them, in the settings of transformers.

usage: make_cases.py OUT.jsonl

The first line holds the variables that all templates get; every other one a template and what it gives: "text", or "error"
(jinja2's message, to read; ours are worded otherwise).
"""
import copy
import itertools
import json
import sys

from transformers.utils.chat_template_utils import _compile_jinja_template

VARIABLES = {'s': 'Hello World',
 'u': '',
 'n': None,
 'i': 7,
 'neg': -7,
 'f': 2.5,
 't': True,
 'fl': False,
 'l': [3, 1, 2],
 'e': [],
 'd': {'b': 1, 'a': 'x', 'items': 5, 'C': None},
 'nested': {'k': {'z': [1, {'q': 'w'}]}},
 'users': [{'name': 'bob', 'age': 3, 'city': 'Z'}, {'name': 'Al', 'age': 1, 'city': 'a'}, {'name': 'cy', 'age': 2, 'city': 'z'}],
 'uni': 'Zürich 東京 👩\u200d💻 ß ΑΣ',
 'ws': ' \t a b \n c ',
 'lines': 'a\nb\r\nc\n\nd',
 'q': 'it\'s "q"',
 'm': [{'role': 'user', 'content': 'hi'}],
 'deep': [[1, [2]], [3]],
 'mix': [1, 'a', None, True, 2.0, [1], {'x': 1}]}

# One expression a line.
EXPRESSIONS = r"""
1 + 2 * 3 - 4
7 // 2
-7 // 2
7 // -2
-7 % 3
7 % -3
-7.5 // 2
-53825770326278216.0 // 3
0.5 // -3.0
-0.5 // 3.0
10.5 ~ 0.25 ~ 100.125 ~ 12345678.5
7.5 % -2
-7.5 % 2
2 ** 10
2 ** -1
-2 ** 2
2 ** 3 ** 2
10 / 4
10 / 5
1e3
1e16
1e15
123456789012345678.0
1.0e-5
0.0001
1/3
0.1+0.2
1e100
-0.0
0x1F
0b101
0o17
1_000_000
1_0.5_0
'a' ~ 1 ~ none ~ true ~ 1.0
'a' 'b' "c"
'a' * 3
3 * 'ab'
[1] * 2
[1,2] + [3]
(1,2) + (3,)
(1,)
()
[]
{}
{'a': 1, 'b': [1,2,(3,)], 3: none}
{'a': 1, 'a': 2}
{1: 'a', true: 'b', 1.0: 'c'}
[1, 'a', "it's", none, true, 1.5, {'x': 'y'}]
'it\'s'
["it's", 'a"b', 'both\'"', 'tab\t', 'nl\n', 'back\\', '\x01', '\u00e9', '\u200b', '\U0001F600', '\x7f', '\u00a0', '\xad']
'\a\b\f\v\r\0\101\x41\u0041'
'\q\z\8'
1 < 2 < 3
1 < 3 < 2
3 > 2 >= 2
1 == 1.0
1 == true
'a' == 'a'
[1,2] == [1,2]
[1,2] == (1,2)
{'a':1,'b':2} == {'b':2,'a':1}
none == none
undefd == none
undefd == undefd2
'a' < 'b'
[1,2] < [1,3]
(1,'a') < (1,'b')
1 < 'a'
none < 1
[1] < (1,)
1 in [1,2]
1.0 in [1]
'a' in 'abc'
'' in ''
1 in 'abc'
'a' in d
'z' not in d
1 not in [1]
'x' in undefd
1 in none
1 in 5
'content' in m[0]
not 1
not not ''
not u
1 and 2
0 and 2
0 or 'x'
'' or none
1 or 2 and 0
not 1 or 2
(not 1) or 0
'y' if t else 'n'
'y' if fl else 'n'
'y' if fl
('y' if fl) is defined
'a' if fl else 'b' if fl else 'c'
1 if 2 if 3 else 4 else 5
s is string
i is number
t is number
t is integer
i is integer
f is float
t is boolean
n is none
undefd is undefined
undefd is defined
d is mapping
l is mapping
l is iterable
s is iterable
d is iterable
i is iterable
undefd is iterable
l is sequence
s is sequence
d is sequence
undefd is sequence
d.keys() is sequence
(1,2) is sequence
range(3) is sequence
i is odd
i is even
neg is odd
i is divisibleby 7
i is divisibleby(3)
i is eq 7
i is equalto(7)
i is == 7
i is ne 7
i is lt 8
i is gt(8)
i is le 7
i is ge 7
i is in [7]
'a' is in 'abc'
i is not in [7]
t is true
t is false
1 is true
1 is sameas 1
none is sameas none
'ABC' is upper
'abc' is lower
'aBc' is lower
1 is lower
'upper' is filter
'nope' is filter
'upper' is test
s is callable
range is callable
s.upper is callable
undefd is callable
s is not string
not s is string
s is string and i is number
s is string or x.y.z
s is defined and undefd is not defined
i is nosuchtest
s | nosuchfilter
s[0]
s[-1]
s[100]
s[1:3]
s[::-1]
s[::2]
s[-3:]
s[:-3]
s[5:1:-1]
s[10:2:-3]
s[100:]
s[:100]
uni[0]
uni[1]
uni[7:9]
uni[::-1]
uni|length
l[0]
l[-1]
l[5]
l[1:]
l[::-1]
l[::-2]
l[5:]
l['x']
l[1.0]
l[true]
l.0
deep.0.1.0
deep[0][1][0]
d.a
d['a']
d['items']
d.items()
d.keys()
d.values()
d.get('a')
d.get('zz')
d.get('zz', 5)
d.get('zz', default=5)
d.nope
d['nope']
d.nope.x
d['nope']['x']
n.x
n['x']
n.x.y
i.x
s.nope
undefd
undefd.x
undefd['x']
undefd()
undefd + 1
undefd ~ 'x'
undefd|length
undefd|default('D')
undefd|d
u|default('D')
u|default('D', true)
n|default('D')
n|default('D', boolean=true)
d.nope|default('x')
d.nope.deeper|default('x')
undefd|upper
undefd|list
undefd|string
undefd|tojson
[undefd]
[undefd]|string
-undefd
undefd < 1
undefd|int
undefd|join
undefd|first
undefd|last
nested.k.z[1].q
nested['k']['z'][1]['q']
l.append(4)
d.update({'x':1})
d.pop('a')
l.sort()
s.__class__
s.__len__()
l.index(1)
l.index(9)
l.count(1)
(1,2,1).count(1)
l.copy()
s.upper()
s.lower()
s.title()
s.capitalize()
s.swapcase()
"they're bill's 3rd-rate".title()
"they're bill's 3rd-rate"|title
'ELEPHANT élan ÉCOLE'|capitalize
uni.upper()
uni.lower()
uni.title()
uni|title
uni|upper
'ΑΣ ΣΑΣ Σ'|lower
'İI'.lower()
'ßß'|capitalize
ws.strip()
ws.lstrip()
ws.rstrip()
ws|trim
'xxhixx'.strip('x')
'xxhixx'|trim('x')
'xyhixy'.lstrip('yx')
'xxhixx'.rstrip('x')
'xxhixx'.strip(none)
'\u3000a\xa0\x1c'.strip()
ws.split()
'a,b,c'.split(',')
'a,b,c'.split(',', 1)
'a,b,c'.split(',', maxsplit=1)
'a,b,c'.split(sep=',')
'a,b,c'.rsplit(',', 1)
'aaa'.rsplit('aa', 1)
'aaa'.split('aa')
' a b  c '.split(none, 1)
' a b  c '.rsplit(none, 1)
'a b'.split('')
''.split()
''.split(',')
',a,'.split(',')
lines.splitlines()
lines.splitlines(true)
'a\x0bb\x0cc\u2028d\x85e'.splitlines()
'abc'.startswith('a')
'abc'.startswith(('x','a'))
'abc'.startswith('b', 1)
'abc'.endswith('c')
'abc'.endswith(('x','bc'))
'abc'.endswith('b', 0, 2)
'abc'.startswith('')
'abc'.startswith('', 4)
'abc'.startswith(['a'])
'a-b-c'.replace('-', '+')
'a-b-c'.replace('-', '+', 1)
'abc'.replace('', '-')
'abc'.replace('', '-', 2)
''.replace('', 'x')
'a-b'|replace('-', '')
'a-b-c'|replace('-', '+', 1)
'a-b-c'|replace('-', '+', count=1)
123|replace(2, 'x')
'hello'.find('l')
'hello'.find('z')
'hello'.rfind('l')
'hello'.find('l', 3)
'hello'.find('l', -2)
'hello'.find('', 9)
'hello'.index('e')
'hello'.index('z')
'hello'.rindex('l')
'東京都'.find('都')
'hello'.count('l')
'hello'.count('')
'aaaa'.count('aa')
', '.join(['a','b'])
','.join('abc')
','.join([1])
','.join({'a':1,'b':2})
'{} {}'.format(1, 'a')
'{0} {1} {0}'.format(1, 2)
'{a} {b}'.format(a=1, b=none)
'{:>5}|{:<5}|{:^5}|{:*^7}'.format('a','b','c','d')
'{:05d}|{:+d}|{: d}|{:,}|{:x}|{:#x}|{:b}|{:o}'.format(42, 42, 42, 1234567, 255, 255, 5, 8)
'{:.2f}|{:8.3f}|{:e}|{:g}|{:%}|{:.0f}|{:,.2f}'.format(3.14159, 2.5, 12345.678, 0.0001, 0.25, 2.5, 1234567.891)
'{:.3}|{:10.3}|{}'.format('abcdef', 'abcdef', 1.0)
'{!r} {!s}'.format('a', 'b')
'{{}} {}'.format(1)
'{0.a} {0[b]}'.format(d)
'{:{w}}|'.format('a', w=5)
'{}'.format()
'{'.format(1)
'}'.format(1)
'{:d}'.format('a')
'{:5}|{:<5}|{:5}'.format(true, 1, none)
'{:s}'.format(1)
'{}'.format([1,'a'])
'{:.3g}|{:.10g}|{:g}|{:g}'.format(1234.5, 1234.5, 1e20, 100000.0)
'{:.2}|{:.5}|{}'.format(3.14159, 2.0, 1e20)
'{:010.2f}|{:+.1e}|{:<10.2f}|'.format(-3.14159, 12345.6, 2.5)
'{:=+8d}|{:c}'.format(42, 65)
'%s %s' % ('a', 1)
'%d' % 3.7
'%5d|%-5d|%05d|%+d|% d' % (1, 2, 3, 4, 5)
'%.2f|%8.3f|%e|%g|%G' % (3.14159, 2.5, 12345.678, 0.00001, 1e20)
'%x %X %o %#x %#o' % (255, 255, 8, 255, 8)
'%r %s %%' % ('a', 'b')
'%(a)s %(b)d' % {'a': 1, 'b': 2}
'%s' % l
'%s' % none
'%s %s' % 'a'
'%s' % ('a', 'b')
'%d' % 'a'
'%c%c' % (65, 'b')
'%*d|%.*f' % (5, 42, 2, 3.14159)
'%5s|%-5s|%.2s' % ('ab', 'ab', 'abc')
'%i %u' % (1, 2)
'x' % ()
'x' % 1
'%' % 1
'%s, %s!'|format('a', 'b')
'%(x)s'|format(x=1)
'123'.isdigit()
'12a'.isdigit()
'²'.isdigit()
''.isdigit()
'½'.isnumeric()
'²'.isdecimal()
'abc'.isalpha()
'ab1'.isalpha()
'ab1'.isalnum()
' '.isspace()
''.isspace()
'ABC'.isupper()
'ABC1'.isupper()
'123'.isupper()
'abc'.islower()
'Abc Def'.istitle()
'abc'.isascii()
'é'.isascii()
'42'.zfill(5)
'-42'.zfill(5)
'a'.ljust(4) ~ '|'
'a'.rjust(4, '*')
'ab'.center(7, '*')
'abc'.center(8, '*')
'abc'|center(9)
'prefix-x'.removeprefix('prefix-')
'x.txt'.removesuffix('.txt')
'a=b=c'.partition('=')
'a=b=c'.rpartition('=')
'abc'.partition('=')
'abc'.rpartition('=')
'abc'.nosuch()
s|length
l|count
d|length
i|length
n|length
l|first
l|last
e|first
e|last
s|first
s|last
d|first
d|last
l|sort
l|sort(reverse=true)
['b','A','c','B']|sort
['b','A','c','B']|sort(case_sensitive=true)
users|sort(attribute='name')|map(attribute='name')|list
users|sort(attribute='age', reverse=true)|map(attribute='name')|join(',')
users|sort(attribute='city,age')|map(attribute='name')|join(',')
users|map(attribute='age')|sum
users|sum(attribute='age')
users|sum('age', 10)
l|sum
[[1],[2]]|sum(start=[])
[0.1,0.2]|sum
['a']|sum
l|max
l|min
e|max
['b','A']|max
['b','A']|min(case_sensitive=true)
users|max(attribute='age')
users|map(attribute='nope')|list
users|map(attribute='nope', default='x')|list
users|map(attribute='name')|map('upper')|join(', ')
l|map('string')|list
['a b','c d']|map('replace', ' ', '_')|list
['1','x']|map('int', 5)|list
[' a ']|map('trim')|first
l|map|list
l|map('nosuch')|list
users|selectattr('age', 'gt', 1)|map(attribute='name')|list
users|selectattr('age', '==', 1)|list|length
users|selectattr('nope')|list
users|selectattr('nope', 'undefined')|list|length
users|rejectattr('age', 'eq', 1)|map(attribute='name')|list
m|selectattr('role', 'equalto', 'user')|list
m|selectattr('role', 'in', ['user'])|list
mix|select('string')|list
mix|select|list
mix|reject('number')|list
mix|reject|list
l|select('odd')|list
l|select('divisibleby', 3)|list
l|reject('odd')|list
l|reverse|list
s|reverse
d|reverse|list
l|unique|list
['a','A','b']|unique|list
['a','A','b']|unique(true)|list
[1,1.0,true,2]|unique|list
users|groupby('city')
users|groupby('city')|map('first')|list
users|groupby('city', case_sensitive=true)|map(attribute='grouper')|list
users|groupby('age')|map(attribute='list')|list
d|items|list
n|items|list
undefd|items|list
d|dictsort
d|dictsort(true)
d|dictsort(reverse=true)
{'a':3,'b':1}|dictsort(by='value')
{'a':3,'b':1}|dictsort(false,'value')
d|dictsort(by='foo')
range(7)|batch(3)|list
range(7)|batch(3, 'x')|list
range(7)|slice(3)|list
range(7)|slice(3, 'x')|list
range(3)
range(3)|list
range(1,10,3)|list
range(10,0,-3)|list
range(3)[1]
range(10)[2:5]
range(10)[::-2]|list
range(5)|last
range(0)
range(0)|list
range(1,2,0)
range(100001)
range(2.5)
range(3) == range(3)
2 in range(3)
l|join
l|join(', ')
l|join('-')|upper
users|join(', ', attribute='name')
users|join(',', 'age')
s|join('-')
d|join(',')
i|join
l|list
s|list
d|list
n|list
l|string
d|string
i|string
f|string
s|upper
s|lower
i|upper
n|upper
'3.7'|int
'x'|int
'x'|int(5)
'0x1F'|int(0, 16)
'1F'|int(base=16)
'0b11'|int(base=2)
' 42 '|int
'1_000'|int
'-3'|int
3.9|int
-3.9|int
true|int
none|int
[]|int
''|int
'1e3'|int
'inf'|int
'3.7'|float
'x'|float
'x'|float(1.5)
'1e3'|float
'inf'|float
'nan'|float
'1_0.5'|float
3|float
none|float
-3|abs
-3.5|abs
'a'|abs
3.14159|round(2)
2.5|round
3.5|round
-2.5|round
2.675|round(2)
5|round
1234.5|round(-2)
1250|round(-2)
1350|round(-2)
42.55|round(1, 'floor')
42.55|round(1, 'ceil')
42|round(method='ceil')
2.5|round(0, 'common')|int
'a\nb\n\nc'|indent
'a\nb\n\nc'|indent(2)
'a\nb\n\nc'|indent(2, true)
'a\nb\n\nc'|indent(2, true, true)
'a\nb\n\nc'|indent('> ', first=true)
'a\nb\n'|indent
5|indent
d|tojson
d|tojson(indent=2)
nested|tojson(indent=4)
d|tojson(sort_keys=true)
nested|tojson(separators=(',',':'))
uni|tojson
uni|tojson(ensure_ascii=true)
'a"b\\c\n\t\x01\x7f/<>&\''|tojson
'a"b\\c\n\t\x01\x7f/<>&\''|tojson(ensure_ascii=true)
[1,1.0,1e20,true,none,'x',(1,2),{},[]]|tojson
[[],{}]|tojson(indent=2)
[]|tojson(indent=2)
{'a':[]}|tojson(indent=0)
{'a':[1]}|tojson(indent='--')
{'a':[1]}|tojson(indent=-1)
{1:2, none:3, true:4, 1.5:5}|tojson
{(1,2):3}|tojson
range(3)|tojson
d.items()|tojson
d.items()|list|tojson
users|map(attribute='name')|tojson
{'b':1,'a':2}|tojson(indent=2, sort_keys=true)
{'b':1,2:2}|tojson(sort_keys=true)
'nan'|float|tojson
'inf'|float|tojson
'<a href="x">'|e
'<a>'|escape
('<'|e) + '>'
('<'|e) ~ '>'
'<b>'|safe
('<b>'|safe) + '<i>'
('<b>'|safe)|upper
('<b>'|safe)|replace('b','<')
('<b>'|safe).replace('b','<')
('<b>'|safe)|e
'<'|e|e
('<b>'|safe) is escaped
('%s'|safe) % '<'
('<'|safe).join(['<','>'])
('<b>'|safe)|list
[('<b>'|safe)]
'one two  three'|wordcount
"don't stop"|wordcount
'foo bar baz qux'|truncate(9)
'foo bar baz qux'|truncate(9, true)
'foo bar baz qux'|truncate(11)
'foo bar baz qux'|truncate(11, false, '...', 0)
'a b&c=d/é'|urlencode
{'a b':1,'c':'/'}|urlencode
[('a','b c')]|urlencode
d|attr('a')
namespace(a=1).a
namespace(a=1).b
namespace({'x': 2}).x
namespace(a=1)
namespace(_a=1)
dict(a=1, b=2)
dict([('a', 1)], b=2)
dict({'a': 1}, a=3)
dict(5)
cycler('a','b').next()
joiner()()
raise_exception('boom')
raise_exception()
[1,2,3][1:]|list|tojson
(1, 2)[0]
{'a': {'b': 1}}.a.b
[1,2,][0]
{'a': 1,}.a
(1 if t else 2) + 1
- 3|abs
-(3)|abs
-i|abs
2 * -3
2 - -3
+5
+true
-true
true + true
true * 'x'
'a' + 1
1 + 'a'
[1] + (1,)
none + 1
{} + {}
[1] - [1]
'a' - 'b'
1 // 0
1 / 0
1 % 0
1.5 % 0
0 ** -1
d == d
s == 'Hello World'
l != [3,1,2]
s ~ l ~ d
9223372036854775807
9223372036854775807 + 0
1.5 is number
'1' is number
"a" in ["a", "b"] and "c" not in "ab"
users[0].name
users[-1]['name']
users[0:2]|length
users|length > 2
users|map(attribute='city')|unique|list
s.split(' ')[0].lower().strip('h')
s.split(' ')|map('lower')|list
(s|lower).startswith('hello')
s|lower|replace('world', 'x')|title
s|trim|length
(l|length) * 2
l|length * 2
l|length == 3
'a' if 'a' in 'abc' else 'b'
'a' ~ ('b' if t else 'c') ~ 'd'
[x for x in l]
lambda
1 if
s[
s|
d.
{{}}
'unterminated
1 ** 0.5
4 ** 0.5
10 ** 18
1e308 * 10
loop
caller
varargs
true.x
'a'.x.y
d.keys()|list
d.values()|list
d.items()|first
d.keys()|length
d.keys()[0]
'b' in d.keys()
('a','x') in d.items()
d.items()|list == d|items|list
d|list == d.keys()|list
d.copy() == d
s is string is string
i is divisibleby 7 and t
i is eq 3 + 4
i is in [1] + [7]
not i is eq 7
'%s' is string
s|default('x', true)|length
s.upper()|lower
s|upper|lower|title
' '.join(s.split())
'a' < 'B'
'é' > 'z'
"\u00e9" == "é"
'a\u0301'|length
'tab\there'
'a'|string|list
[none, undefd]|select|list
[1,[2,3]]|tojson
(1,'a',none)|tojson
i is sameas i
1.0|int
1.9|string
100000000000000000000.0
1e22
1e-7
123.456
5e-324
1.7976931348623157e308
0.1
100.0
""".strip("\n").split("\n")

# One template a line.
TEMPLATES = r"""
{% for x in l %}{{ x }},{% endfor %}
{% for x in e %}{{ x }}{% else %}empty{% endfor %}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}
{% for x in l if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% endfor %}
{% for x in l if x > 1 %}{{ x }}{{ loop.last }}{% else %}none{% endfor %}
{% for x in l if x > 10 %}{{ x }}{% else %}none{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for k in d %}{{ k }}{% endfor %}
{% for k, v in d|items %}{{ k }}={{ v }};{% endfor %}
{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}
{% for (a, b) in [(1,2),(3,4)] %}{{ a }}{{ b }}{% endfor %}
{% for a, (b, c) in [(1,(2,3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for a, b in [(1,2,3)] %}{{ a }}{% endfor %}
{% for a, b in [1] %}{{ a }}{% endfor %}
{% for a, b, c in [[1,2]] %}{{ a }}{% endfor %}
{% for x in n %}{% endfor %}
{% for x in 5 %}{% endfor %}
{% for x in undefd %}a{% else %}b{% endfor %}
{% for x in undefd.y %}a{% endfor %}
{% for c in "añb" %}[{{ c }}]{% endfor %}
{% for x in range(5) %}{% if x == 1 %}{% continue %}{% endif %}{% if x == 3 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in l %}{% for y in l %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}
{% for x in l %}{% for y in 'ab' %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}
{% for x in l %}{% set outer = loop %}{% for y in 'ab' %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}
{% for x in l %}{{ loop.cycle('a','b') }}{% endfor %}
{% for x in [1,1,2,2,1] %}{{ loop.changed(x) }} {% endfor %}
{% for x in deep recursive %}{{ x if x is number else '' }}{% if x is iterable %}({{ loop(x) }}){% endif %}{{ loop.depth }}{% endfor %}
{% for x in [1,[2,[3]]] recursive %}{% if x is iterable %}<{{ loop(x) }}>{% else %}{{ x }}{{ loop.depth0 }}{% endif %}{% endfor %}
{% for x in l %}{{ loop(x) }}{% endfor %}
{% for x in l|map('string') %}{{ x }}{{ loop.length }}{{ loop.last }}{% endfor %}
{% for x in l recursive if x %}{% endfor %}
{% for x in l, d %}{{ x }}{% endfor %}
{% for x in l if x is number recursive %}{{ x }}{% endfor %}
{% for x in l or [9] %}{{ x }}{% endfor %}
{% set x = 1 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }}
{% set x = 1 %}{% for i in l %}{{ x }}{% set x = i %}{% endfor %}{{ x }}
{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}
{% set ns = namespace(x=0) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}
{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}{{ ns.b }}{{ ns }}
{% set ns.x = 1 %}
{% set d.x = 1 %}
{% set ns = namespace() %}{% set ns._x = 1 %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set (a, b) = (1, 2) %}{{ a }}{{ b }}
{% set a = 1, 2 %}{{ a }}
{% set a = 1, %}{{ a }}
{% set a, b = 1 %}
{% set a, b = [1,2,3] %}
{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}
{% set x %}hello {{ s }}{% endset %}{{ x }}|{{ x|length }}
{% set x | upper | replace('L','_') %}hello{% endset %}{{ x }}
{% set x %}{% set y = 1 %}{{ y }}{% endset %}{{ x }}{{ y is defined }}
{% set none = 1 %}
{% set 'a' = 1 %}
{% set x = %}
{% set x %}
{% set x = 1
{% if true %}
{% if %}x{% endif %}
{% endif %}
{% else %}
{% foo %}
{% if 1 %}a{% elif 2 %}b{% else %}c{% endif %}
{% if 0 %}a{% elif 2 %}b{% else %}c{% endif %}
{% if 0 %}a{% elif 0 %}b{% else %}c{% endif %}
{% if 0 %}a{% elif 0 %}b{% endif %}
{% if e %}a{% endif %}{% if not e %}b{% endif %}
{% if 1, 2 %}t{% endif %}
{% if x: %}a{% endif %}
{% macro f(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }}|{{ f(1, 3) }}|{{ f(1, c=5) }}|{{ f(b=1, a=0) }}|{{ f() }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, a=2) }}
{% macro f(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, x=4) }}{{ f() }}
{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}body {{ s }}{% endcall %}
{% macro f() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b=5) f() %}{{ a }}-{{ b }}{% endcall %}
{% macro f() %}{{ caller is defined }}{{ caller }}{% endmacro %}{{ f() }}
{% macro f() %}x{% endmacro %}{% call f() %}body{% endcall %}
{% macro f(x) %}{% if x > 0 %}{{ x }}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(5) }}
{% macro f() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ f() }}
{% set x = 5 %}{% macro f() %}{{ x }}{% endmacro %}{% set x = 6 %}{{ f() }}
{% macro f() %}{% set x = 9 %}{{ x }}{% endmacro %}{{ f() }}{{ x }}
{% for i in l %}{% macro f() %}{{ i }}{% endmacro %}{{ f() }}{% endfor %}{{ f is defined }}
{% macro f(x) %}{{ x|upper }}{% endmacro %}{{ f('a') ~ 'b' }}{{ f('a')|lower }}{{ f.name }}{{ f }}
{% macro f(a=1, b) %}{% endmacro %}
{% macro f %}{% endmacro %}
{% macro outer() %}{% macro inner() %}in{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}{{ inner is defined }}
{% macro f(x) %}{{ x.y }}{% endmacro %}{{ f() }}
{% macro f() %}{% for i in l %}{% if loop.first %}{% continue %}{% endif %}{{ i }}{% endfor %}{% endmacro %}{{ f() }}
{% filter upper %}hello {{ s }}{% endfilter %}
{% filter upper | replace('L', '1') %}hello{% endfilter %}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% with %}{% set z = 1 %}{{ z }}{% endwith %}{{ z }}
{% set a = 5 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% raw %}{{ x }} {% if %}{% endraw %}
{% raw -%}  {{ x }}  {%- endraw %}  x
{%- raw %} a {% endraw -%} b
{# comment {{ x }} #}a
a {#- c -#} b
a {# unterminated
{% raw %} unterminated
{% generation %}{% set g = 1 %}{{ s }}{{ g }}{% endgeneration %}{{ g is defined }}
{% print 1, 'a' %}
{% do x %}
{% include 'x' %}
{% extends 'x' %}
{% import 'x' as y %}
{% break %}
{% if true %}{% continue %}{% endif %}
{{ 1 }}{{ 2 }}
{{ 1, 2 }}
{{ }}
{{ 1 }
{{ 1 %}
{% if 1 }}
{{ 'a }}
a{{ '}}' }}b
a{{ '%}' }}{% if '%}' %}x{% endif %}
{{ {'a': {'b': 1}}.a }}
{{ {'a': {'b': 1}} }}
{{ ( }}
{{ ) }}
{{ (] }}
{{-1}}
{{- -1 }}
{{ 1 -}}  x
{{ 1 +}}
{%+ if true %}x{% endif %}
{% set x = 1 -%}
{% set _a = 1 %}{{ _a }}
{% set range = 1 %}{{ range }}
{% set été = 1 %}{{ été }}
{{ loop }}
{{ raise_exception('a ' ~ 1) }}
{% if false %}{{ raise_exception('no') }}{% endif %}ok
{% if 'x' is filter %}{{ 1|x }}{% endif %}ok
{% set g = l|map('string') %}{{ g|join }}{{ g|join }}|{{ g|list }}
{% set c = cycler(1,2) %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}
{% set j = joiner('|') %}{{ j() }}a{{ j() }}b{{ j() }}
{% for x in l %}{{ x }}{{ ", " if not loop.last }}{% endfor %}
{% for x in l -%} {{ x }} {%- endfor %}
{% set ns = namespace(found=false) %}{% for x in l if not ns.found %}{% set ns.found = true %}{{ x }}{% endfor %}
{% set ns = namespace(n=0) %}{% for x in l if ns.n < 2 %}{% set ns.n = ns.n + 1 %}{{ x }}{{ loop.last }}{% endfor %}
{% set x = {'a': 1} %}{% set _ = x.update({'b': 2}) %}{{ x }}
{% set l2 = [] %}{% for x in l %}{% set l2 = l2 + [x] %}{% endfor %}{{ l2 }}
{% set l2 = [] %}{{ l2.append(1) }}
{{ messages[0]['role'] }}
{{ m[0].role ~ m[-1].content }}
{% set loop_messages = m[1:] %}{{ loop_messages }}{{ loop_messages|length }}
{% set (x) = 1 %}{{ x }}
{% for x in l %}{% set ns2 = namespace(v=x) %}{{ ns2.v }}{% endfor %}
{% call f() %}{% endcall %}
{% call 1 %}{% endcall %}
{% set f = s.upper %}{{ f() }}
{% set f = d.items %}{% for k,v in f() %}{{ k }}{% endfor %}
{{ f(*[1,2], **{'a': 1}) }}
{{ '{}{}{a}'.format(*[1,2], **{'a': 3}) }}
{{ dict(**{'a': 1}) }}
{{ range(*[1,4])|list }}
{{ f(a=1, 2) }}
{{ '%s-%s'|format(*['a','b']) }}
{% for x in l %}{{ x }}{% endfor x %}
{% if true %}a{% endif if %}
{%if true%}a{%endif%}
{%-if true-%} a {%-endif-%}
{% for   x   in   l %}{{x}}{% endfor %}
{% set x=1%}{{x}}
{{x}}{{s|upper|lower}}
{{s|upper()}}
{{s.upper( )}}
{{ s | trim | length }}
{{ l[ 0 ] }}
{{ l [0] }}
""".strip("\n").split("\n")

TEMPLATES += [
    '{% filter indent(2) %}a\nb{% endfilter %}',
    "{{ s\n   ~ 'x' }}",
    "{{ 'multi\nline' }}",
    "{% if s == 'Hello World'\n   and i == 7 %}ok{% endif %}",
    "{{ 'a\\\nb' }}",
    "a\r\nb\rc\n", "a\n\n", "\n", "", "{% set x='a\r\nb' %}{{ x|length }}", "{%", "{{", "{", "a{b}c", "{ {", "{%%}", "{{}}", "{##}",
    "{#-#}", "{%-%}", "{#}", "x\r\n{% if true %}\r\ny\r\n{% endif %}\r\n", "{%raw%}{%endraw%}", "{% raw %}{% endraw",
    "{%\nif true\n%}x{%\nendif\n%}", "\u3000{%- if true %}x{% endif %}", "\u00a0\n\u00a0{% if true %}x{% endif %}",
    "\x0b{% if true %}x{% endif %}",
]


def white_space():
    """Tags of every kind between white space of every kind."""
    for before, after in itertools.product(["", " ", "\n", "  \n  ", "x\n"], repeat=2):
        for left, right in [("", ""), ("-", ""), ("", "-"), ("-", "-"), ("+", ""), ("", "+")]:
            yield f"{before}{{%{left} if true {right}%}}{after}y{before}{{%{left} endif {right}%}}{after}"
            yield f"{before}{{#{left} c {right}#}}{after}z"
            yield f"{before}{{%{left} raw {right}%}}{after}{{{{ y }}}}{before}{{%{left} endraw {right}%}}{after}"
            if "+" not in left + right:
                yield f"{before}{{{{{left} s {right}}}}}{after}y"


def case(template):
    try:
        return {"template": template, "text": _compile_jinja_template(template).render(**copy.deepcopy(VARIABLES))}
    except Exception as error:  # whatever the template makes Python raise
        return {"template": template, "error": f"{type(error).__name__}: {error}"}


def main():
    templates = ["{{ " + e + " }}" for e in EXPRESSIONS] + TEMPLATES + list(white_space())
    lines = [VARIABLES] + [case(t) for t in templates]
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        for line in lines:
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(len(lines) - 1, "templates")


if __name__ == "__main__":
    main()
