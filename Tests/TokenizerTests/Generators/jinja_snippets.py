"""Pieces of Jinja's language, for make_chat_templates.py."""

VARIABLES = {
    "n": 7, "f": 2.5, "s": "Hello, Wörld ", "t": "a-b_c d", "yes": True, "no": False, "nothing": None, "empty": "",
    "l": [3, 1, 2], "w": ["pear", "Apple", "fig"], "d": {"b": 2, "a": [1, {"x": None}], "items": "own", "ß": "é"},
    "people": [{"name": "Eva", "age": 30, "on": True}, {"name": "Bob", "age": 25, "on": False}, {"name": "Al", "age": 30}],
    "lines": "one\n  two\r\n\nthree\n", "words": "  many   words\there ", "accent": "e\u0301\u00e9😀",
}

SNIPPETS = [
    # White space.
    "a\n{% if yes %}\n  b\n{% endif %}\nc\n", "a\n  {%- if yes -%}\n  b  \n {%- endif %}\n c\n\n", "  {% if yes %}x{% endif %}\n  {{ n }}\n  {# c #}\n  y",
    "x {# c #} y\n   {# d #}\nz", "x{#- c -#}  y", "  {%+ if yes %} x {%+ endif %} y", "{% if yes +%}\nx{% endif %}", "a {{- n -}} b", "a\n\n{{- n }}\n\nb",
    "{{ n }}\n", "{{ n }}\n\n", "a\r\nb\rc\n{% if yes %}\r\nd{% endif %}\r\n", "{% raw %}{{ n }} {% x %}{% endraw %}!", "  {% raw -%}  \n {{ x }} {%- endraw -%}  y",
    "\n{% for i in l %}\n  {{ i }}\n{% endfor %}\n", "{% for i in l -%}\n {{ i }},\n{%- endfor %}|", "\u00a0{%- if yes %}x{% endif -%}\u2003y", "{{'}}'}}{{ \"%}\" }}",
    "{% set x = {'a': {'b': 1}} %}{{ x.a.b }}{{ {'a': {}} }}", "{{ '{{' }}", "{%if yes%}a{%else%}b{%endif%}", "{% if\nyes\n%}a{% endif %}", "",
    # Texts.
    r"{{ 'a\nb\t\'\"\\ \x41\u00e9\U0001f600 \101 \q' }}", '{{ "it\'s" ~ \'"q"\' }}', "{{ 'a' 'b' }}", "{{ s[0] }}{{ s[-2] }}{{ s[1:4] }}{{ s[::-1] }}{{ s[99:] }}",
    "{{ accent[0] }}|{{ accent | length }}|{{ accent[::-1] }}|{{ accent[2] }}", "{{ s.upper() }}{{ s.lower() }}{{ s.strip() }}|{{ s | trim }}|",
    "{{ t.split('-') }}{{ words.split() }}{{ words.split(None, 1) }}{{ t.split('x') }}{{ 'a,b,c'.split(',', 1) }}{{ ''.split(',') }}{{ ''.split() }}",
    "{{ 'xxaxx'.strip('x') }}{{ 'abab'.lstrip('ab') }}|{{ 'abc'.rstrip('cb') }}", "{{ s.startswith('Hell') }}{{ s.endswith(' ') }}{{ s.startswith(('x', 'H')) }}",
    "{{ 'aaa'.replace('a', 'b') }}{{ 'aaa'.replace('a', 'b', 2) }}{{ 'ab'.replace('', '-') }}{{ 'aaa' | replace('a', 'b', 1) }}",
    "{{ 'hello world-foo'.title() }}{{ 'hello world-foo bar_baz (x)' | title }}{{ 'hELLO w' | capitalize }}{{ 'ǆ straße'.capitalize() }}",
    "{{ ', '.join(w) }}{{ l | join('-') }}{{ people | join('/', attribute='name') }}{{ '' | join(',') }}{{ 'abc' | join(',') }}",
    "{{ 'banana'.find('na') }}{{ 'banana'.find('x') }}{{ 'éna'.find('na') }}{{ 'banana'.count('a') }}{{ 'banana'.index('n') }}",
    "{{ '12'.isdigit() }}{{ ''.isdigit() }}{{ 'ab'.isalpha() }}{{ 'a1'.isalnum() }}{{ ' '.isspace() }}{{ 'AB'.isupper() }}{{ 'a'.islower() }}{{ '²'.isdigit() }}",
    "{{ 'prefix-x'.removeprefix('prefix-') }}{{ 'x.py'.removesuffix('.py') }}{{ 'x'.removesuffix('') }}", "{{ lines.splitlines() }}", "{{ lines | indent }}|",
    "{{ lines | indent(2, true) }}|{{ lines | indent(width=3, blank=true) }}|", "{{ 'a' * 3 }}{{ 2 * 'ab' }}{{ 'a' ~ 1 ~ none ~ 2.0 ~ true }}",
    "{{ 'a' < 'b' }}{{ 'Z' < 'a' }}{{ 'é' == 'e\u0301' }}{{ 'ell' in s }}{{ 'x' not in s }}{{ '' in '' }}",
    # Values.
    "{{ none }} {{ true }} {{ false }} {{ True }} {{ None }} {{ 1.0 }} {{ 1e20 }} {{ 1e-7 }} {{ 1.5e3 }} {{ 1_000 }} {{ 123456789012345680.0 }} {{ 9007199254740993.0 }}",
    "{{ [1, 'a', none, 2.5, true, [], {}] }}", "{{ {'a': 1, 'b': \"it's\"} }}", "{{ d }}", "{{ ['\\n', '\\\\', '\"', \"'\", '\\x00', 'é', '\\u200b'] }}",
    "{{ l[0] }}{{ l[-1] }}{{ l[1:] }}{{ l[:-1] }}{{ l[::2] }}{{ l[::-1] }}{{ l[5] }}|{{ l[5:] }}", "{{ l.0 }}{{ d.a.1.x }}", "{{ d['b'] }}{{ d.b }}{{ d['items'] }}{{ d.ß }}",
    "{{ d.get('b') }}{{ d.get('q') }}{{ d.get('q', 5) }}{{ d['q'] }}|{{ d.q }}|", "{{ d.keys() | list }}{{ d.values() | list }}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}{{ 'b' in d }}{{ 2 in d.values() }}{{ 1 in l }}{{ 9 not in l }}", "{{ (1, 2) }}{{ (1,) }}{{ () }}{{ (1, 2) == [1, 2] }}{{ (1,) + (2,) }}{{ (1, 2)[::-1] }}{{ (1, 2) is sequence }}", "{{ (1, 2)[1] }}{{ (1,)[0] }}{{ [] }}", "{{ l + [4] }}{{ [1] + [] }}",
    "{{ dict(a=1, b=2) }}{{ dict({'x': 1}, y=2).y }}", "{{ range(3) | list }}{{ range(1, 7, 2) | list }}{{ range(3, 0, -1) | list }}", "{{ missing }}|{{ missing | length }}|{{ d.q is defined }}",
    "{{ missing.x }}", "{{ missing + 1 }}", "{{ missing() }}", "{{ none.x }}|{{ none['x'] }}|{{ n.x }}|", "{{ nothing | length }}",
    # Arithmetic, comparison, logic.
    "{{ 7 // 2 }}{{ -7 // 2 }}{{ 7 % 3 }}{{ -7 % 3 }}{{ 7 / 2 }}{{ 4 / 2 }}{{ 2 ** 10 }}{{ 1 + 2 * 3 }}{{ (1 + 2) * 3 }}{{ -n + 1 }}{{ 7.5 // 2 }}{{ -7.5 % 2 }}",
    "{{ 1 == 1.0 }}{{ true == 1 }}{{ 'a' == 1 }}{{ none == false }}{{ [1, 2] == [1, 2] }}{{ {'a': 1} == {'a': 1.0} }}{{ 1 < 2 < 3 }}{{ 3 > 2 >= 2 != 1 }}",
    "{{ 1 and 'x' }}{{ 0 and 'x' }}{{ '' or 'y' }}{{ not 1 }}{{ not '' }}{{ yes and not no or nothing }}{{ not no and yes }}", "{{ 'a' if yes else 'b' }}{{ 'a' if no }}|{{ 'x' if no else 'y' if no else 'z' }}",
    "{{ 1 < 'a' }}", "{{ 1 + 'a' }}", "{{ 'a' + 1 }}", "{{ 1 / 0 }}", "{{ 1 % 0 }}", "{{ -f }}{{ +n }}{{ -n | abs }}{{ n - 1 }}{{ n-1 }}{{ n -1 }}",
    "{{ 'a' ~ 1 + 2 }}", "{{ 2 ~ 3 * 4 }}", "{{ n is odd and n > 3 }}", "{{ not n is odd }}{{ n is not odd }}{{ n in [7] and 8 not in [7] }}",
    # Statements.
    "{% set x = 1 %}{% if yes %}{% set x = 2 %}{% endif %}{{ x }}", "{% set x = 1 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }}",
    "{% set ns = namespace(x=1, y=[]) %}{% for i in l %}{% set ns.x = ns.x + i %}{% set ns.y = ns.y + [i] %}{% endfor %}{{ ns.x }}{{ ns.y }}{{ ns.z is defined }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set x %}a{{ n }}b{% endset %}{{ x | upper }}", "{% set x | upper | trim %} a{{ n }}b {% endset %}{{ x }}", "{% set x = 1, 2 %}{{ x[1] }}",
    "{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }};{% endfor %}",
    "{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }}{{ loop.cycle('a', 'b') }};{% endfor %}", "{% for i in [] %}x{% else %}none{% endfor %}", "{% for i in missing %}x{% else %}none{% endfor %}",
    "{% for i in l if i > 1 %}{{ loop.index }}{{ i }}{% endfor %}", "{% for a, b in [[1, 2], [3, 4]] %}{{ a + b }},{% endfor %}", "{% for c in 'héy' %}{{ c }}.{% endfor %}",
    "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}", "{% for i in l %}{% for j in l %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% for i in l %}{% if loop.first %}{% set q = 5 %}{% endif %}{{ q }}|{% endfor %}", "{% for i in 5 %}{% endfor %}",
    "{% macro m(a, b=2) %}[{{ a }}{{ b }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=4, a=0) }}{{ m() }}", "{% macro m(a) %}{% if a > 0 %}{{ a }}{{ m(a - 1) }}{% endif %}{% endmacro %}{{ m(3) }}",
    "{% macro m() %}{{ n }}{{ x }}{% endmacro %}{% set x = 5 %}{{ m() }}", "{% macro m(a) %}<{{ caller(a) }}>{% endmacro %}{% call(v) m(3) %}v={{ v }}{% endcall %}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% filter upper %}a{{ s }}{% endfilter %}", "{% with a = 1, b = n %}{{ a + b }}{% endwith %}{{ a }}", "{% generation %}{% set z = 1 %}x{{ z }}{% endgeneration %}{{ z }}",
    "{% if no %}a{% elif n == 7 %}b{% else %}c{% endif %}", "{% if l %}1{% endif %}{% if {} %}2{% endif %}{% if 'x' %}3{% endif %}{% if 0.0 %}4{% endif %}",
    "{{ raise_exception('stop ' ~ n) }}", "{% if no %}{{ raise_exception('x') }}{% endif %}fine", "{{ caller is defined }}{{ loop is defined }}{{ strftime_now is defined }}",
    # Filters.
    "{{ l | length }}{{ s | length }}{{ d | count }}", "{{ l | first }}{{ l | last }}{{ [] | first }}|{{ s | first }}{{ s | last }}", "{{ l | sort }}{{ w | sort }}{{ w | sort(case_sensitive=true) }}{{ l | sort(reverse=true) }}",
    "{{ people | sort(attribute='age') | map(attribute='name') | list }}{{ people | sort(attribute='age', reverse=true) | map(attribute='name') | join }}",
    "{{ l | reverse | list }}{{ 'abc' | reverse }}", "{{ l | sum }}{{ people | sum(attribute='age') }}{{ l | min }}{{ l | max }}{{ w | max }}{{ [] | sum }}", "{{ [1, 2, 1, 'A', 'a'] | unique | list }}",
    "{{ l | map('string') | list }}{{ w | map('upper') | join(',') }}{{ people | map(attribute='on', default='?') | list }}{{ w | map('replace', 'p', 'q') | list }}",
    "{{ people | selectattr('on') | map(attribute='name') | list }}{{ people | rejectattr('on') | map(attribute='name') | list }}{{ people | selectattr('age', '>', 26) | list | length }}",
    "{{ people | selectattr('name', 'equalto', 'Eva') | list }}{{ people | selectattr('on', 'defined') | list | length }}{{ people | selectattr('age', 'in', [25]) | first }}",
    "{{ l | select('odd') | list }}{{ l | reject('gt', 1) | list }}{{ [0, 1, '', 'x'] | select | list }}", "{{ missing | default('x') }}{{ '' | default('x') }}|{{ '' | default('x', true) }}{{ none | d('q') }}{{ none | d('q', boolean=true) }}",
    "{{ '12' | int + 1 }}{{ 'x' | int }}{{ 'x' | int(5) }}{{ 3.9 | int }}{{ ' 4 ' | int }}{{ '3.7' | int }}{{ '1.5' | float }}{{ 'x' | float }}{{ 2 | float }}", "{{ -3 | abs }}{{ 2.567 | round(1) }}{{ 2.5 | round }}{{ 2.1 | round(0, 'ceil') }}{{ 3 | round }}",
    "{{ d | tojson }}", "{{ d | tojson(indent=2) }}", "{{ [1, 'a\"b', none, true, 2.5, 'é<&>', '\\n\\x01'] | tojson }}", "{{ [] | tojson(indent=2) }}{{ {} | tojson(indent=4) }}", "{{ d | tojson(ensure_ascii=true) }}{{ d | tojson(sort_keys=true) }}",
    "{{ {'a': [1, 2]} | tojson(separators=(',', ':')) }}", "{{ d | dictsort }}{{ {'b': 1, 'A': 2} | dictsort(by='value', reverse=true) }}", "{{ {'a': 1} | items | list }}{{ missing | items | list }}", "{{ 'abc' | list }}{{ d | list }}",
    "{{ s | upper | lower | trim | length }}", "{{ '<b>' | safe }}{{ 5 | string + 'x' }}", "{{ n | nosuchfilter }}", "{{ n is nosuchtest }}", "{% if no %}{{ n | nosuchfilter }}{% endif %}ok", "{{ 5 | trim }}",
    # Tests.
    "{{ n is number }}{{ f is number }}{{ yes is number }}{{ n is integer }}{{ yes is integer }}{{ f is float }}{{ yes is boolean }}{{ n is boolean }}", "{{ s is string }}{{ n is string }}{{ l is iterable }}{{ s is iterable }}{{ n is iterable }}{{ d is mapping }}{{ l is mapping }}",
    "{{ l is sequence }}{{ d is sequence }}{{ s is sequence }}{{ n is sequence }}{{ nothing is none }}{{ missing is none }}{{ missing is undefined }}{{ nothing is defined }}", "{{ yes is true }}{{ no is false }}{{ 1 is true }}{{ n is divisibleby 7 }}{{ n is divisibleby(2) }}{{ 4 is even }}",
    "{{ n is eq 7 }}{{ n is equalto(7) }}{{ n is ne 7 }}{{ n is gt 3 }}{{ n is lt(3) }}{{ n is ge 7 }}{{ n is in [7, 8] }}{{ n is not in [7] }}{{ 'A' is upper }}{{ 'a' is lower }}", "{{ raise_exception is callable }}{{ s is callable }}{{ yes is sameas true }}{{ nothing is sameas none }}",
    "{{ 'upper' is filter }}{{ 'odd' is test }}{{ 'x' is filter }}", "{% if n is defined and n is not none and n %}x{% endif %}",
    # Mistakes.
    "{% if yes %}", "{{ n", "{% endif %}", "{{ n }", "{% for i l %}{% endfor %}", "{{ 1 + }}", "{{ (1 }}", "{{ 'abc }}", "{# open", "{% nosuchtag %}", "{{ n | }}", "{{ [1, }}", "{{ a b }}", "{% set = 1 %}", "{% break %}", "{{ l.append(4) }}", "{{ s.nosuch() }}",
    "{{ ''.__class__ }}", "{{ d.x.y }}", "{% for i in l %}{{ i.x.y }}{% endfor %}", "{{ range(1000000000) }}", "{{ n() }}", "{% set n.x = 1 %}", "{{ d | tojson(1, 2, 3, 4, 5) }}", "{{ 'a'.split('') }}",
]
