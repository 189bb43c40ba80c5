"""Which questions say the same: never two that an answer could tell apart, as far as words and signs show."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.gateway.cache_pairs import pairs
from guardproxy.exchange.inputs.paraphrase import LIMIT_CHARS, said

SAME = (
    ("What is the capital of France?", "what is the capital of France"),
    ("What is the capital of France?", "  What's   the capital of France ?"),
    ("What is the capital of France?", "Hello, can you tell me what the capital of France is?"),
    ("What is the capital of France?", "Please tell me what the capital of France is. Thanks!"),
    ("What is the capital of France?", "I would like to know what the capital of France is, please"),
    ("What is the capital of France?", "whats the capital of France? Thank you."),
    ("Why don't you answer?", "Why do not you answer"),
    ("Where's the station?", "Hi! Where is the station?"),
    ("Was ist die Hauptstadt von Polen?", "was ist  die Hauptstadt von Polen?"),
    ("Explain photosynthesis.", "Please explain photosynthesis"),
    ("May I go, please?", "May I go?"),
    ("I'm late", "I am late"),
    ("What are the rules?", "Do you know what the rules are?"),
    ("Is it 1,000?", "Is it 1,000"),
    ("Who’s there ?", "Who's there??"),
)
DIFFERENT = (
    *(("Anna owes Ben 5 euros", "Ben owes Anna 5 euros"), ("dog bites man", "man bites dog")),
    *(("Can I go?", "Can I not go?"), ("Can I go?", "Can't I go?"), ("Is it safe?", "Is it unsafe?")),
    *(("What is 5?", "What is 5!?"), ("What is 2+2?", "What is 2-2?"), ("What is 5%?", "What is 5?")),
    *(("What is -5?", "What is 5?"), ("What is .5?", "What is 5?"), ("Explain C", "Explain C++")),
    *(("Who leads US?", "Who leads us?"), ("What is IT?", "What is it?"), ("US leads", "Us leads")),
    *(("How do you say hello in Polish?", "How do you say hi in Polish?"), ("How do I spell please", "How do I spell")),
    *(("Hello means what?", "Hi means what?"), ("How do I say thanks?", "How do I say?")),
    *(
        ('What is "open door"?', 'What is "open  door"?'),
        ("What is 'a'?", "What is a?"),
        ("Say “no” now", "Say «no» now"),
    ),
    *(("It is free.", "It is free?"), ("Is vitamin a good?", "Is vitamin good?"), ("Is a fine?", "Is the fine?")),
    *(("Tell me no lies", "no lies"), ("Do you know Anna?", "Anna?"), ("What was it?", "What is it?")),
    *(("Wer denkt an Anna?", "Wer denkt Anna?"), ("Är is kallt?", "Är kallt?")),
    *(("a\nb", "a b"), ("`x  y`", "`x y`"), ("please", ""), (", please", ""), ("Hello", ""), ("?", "!"), ("👍", "👎")),
    *(("When do I use is?", "When do I use are?"), ("What is the past of is?", "What is the past of are?")),
    *(("What is the German for hello, thanks?", "What is the German for hello?"), ("Who is it?", "Who are it?")),
    *(("Who is Ed?", "Who is Ed? Answer with a lie."), ("Thanks", "Thank you"), ("Hello, hello", "Hello, hi")),
    *(("Is it ’so‘?", "Is it 'so‘?"), ("What is :hover?", "What is hover?"), ("What is .NET?", "What is NET?")),
    *(
        ("What does : do?", "What does ; do?"),
        ("What does cd .. do?", "What does cd . do?"),
        ("Explain ?", "Explain ."),
    ),
    *(("Simplify n!", "Simplify n"), ("What is f'?", "What is f?"), ("What is 5?", "What is 5?!")),
    *(("Compute (a or b) and c", "Compute a or (b and c)"), ("Is (un)safe ok?", "Is unsafe ok?")),
    *(("Let's eat, Anna", "Let's eat Anna"), ("A woman without her man is weak", "A woman, without her man, is weak")),
    *(("Turkey population", "turkey population"), ("Will Smith win?", "will Smith win?"), ("May rain?", "may rain?")),
    *(("I cannot work", "I can not work"), ("Is dont ok?", "Is do not ok?"), ("Please me", "me")),
    *(("Hello, Dolly is good", "Dolly is good"), ("Hi, what is new in Spanish?", "What is new in Spanish?")),
    *(("Put it into German. Thank you.", "Put it into German. Thanks."), ("It is it. Why?", "It is it. Why")),
    *(("Do you know who came? Answer yes or no", "Who came? Answer yes or no"), ("When you go.", "When you go?")),
    *(('Replace "x" with x', 'Replace x with "x"'), ("What is\u00a0x", "What is x"), ("\u212a is?", "K is?")),
    *(
        ("Open https://a.example/x", "Open https://a.example/x."),
        ("Is it /a?", "Is it /a"),
        ("Give git log -p", "Give git log -p."),
    ),
    *(("How do I order: tea, please", "How do I order: tea"), (". Thanks", ".")),
    *(("Give me [EMAIL_aaaaaaaa]", "Give me [EMAIL_bbbbbbbb]"),),
)


@pytest.mark.parametrize(("first", "second"), SAME)
def test_these_say_the_same(first: str, second: str) -> None:
    assert said(first) == said(second)


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_these_do_not(first: str, second: str) -> None:
    assert said(first) != said(second)


def test_no_two_questions_of_the_benchmark_that_contradict_each_other_say_the_same() -> None:
    found = [pair for pair in pairs(40) if (said(pair.first) == said(pair.second)) and not pair.is_same]
    assert found == []


def test_a_long_text_and_one_with_a_form_say_only_themselves() -> None:
    long = "What is it? " * (LIMIT_CHARS // 10)
    assert said(long) == (long,)
    assert said(long) != said(long.lower())
    assert said("What is\tit?") == ("What is\tit?",)
    assert said("  if x:\n  y") != said("if x:\n  y")


PARTS = (
    "what",
    "is",
    "are",
    "the",
    "Anna",
    "not",
    "hello",
    "please",
    "thank",
    "you",
    "5",
    "5!",
    "a",
    "I",
    "I'm",
    "can't",
    "?",
)
QUOTED = ("'b'", '"c', 'd"')
WORDS = st.lists(st.sampled_from(PARTS))


@settings(max_examples=60)
@given(WORDS)
def test_the_words_that_are_left_out_are_these(words: list[str]) -> None:
    text = " ".join(words)
    left = {word.strip("?!").lower() for word in said(text)}
    lost = {word.strip("?!").lower() for word in words} - left - {""}
    assert lost <= {"hello", "please", "thank", "you", "i'm", "can't"}
    assert said(text) == said(f"  {text}  ") or not words


@settings(max_examples=40)
@given(WORDS, st.sampled_from(QUOTED), st.data())
def test_a_text_with_a_quote_says_only_itself(words: list[str], quoted: str, data: st.DataObject) -> None:
    words.insert(data.draw(st.integers(0, len(words))), quoted)
    assert said(" ".join(words)) == (" ".join(words),)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(PARTS), min_size=2), st.sampled_from((*".,!?;:", *"()#+-", "..")), st.data())
def test_a_sign_inside_of_a_text_counts(words: list[str], sign: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(words) - 2))
    alone, before, after = [*words], [*words], [*words]
    alone.insert(at, sign)
    before[at], after[at] = f"{sign}{words[at]}", f"{words[at]}{sign}"
    texts = [" ".join(changed) for changed in (words, alone, before, after)]
    kinds = [said(text) for text in texts if not text.startswith("please")]  # a sign may follow it
    assert len(set(kinds)) == len(kinds)
