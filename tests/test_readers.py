import gzip
import json
import os
import pickle
import re

import pytest

from seq_models.errors import InputError
from seq_models.text.examples import read_examples


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write_file


def conllu(*words):
    return "".join("\t".join([*word, *["_"] * (10 - len(word))]) + "\n" for word in words)


def message_of(path, *more, **options):
    """The message of the InputError that reading to the end raises."""
    with pytest.raises(InputError) as raised:
        list(read_examples(path, *more, **options))
    message = str(raised.value)
    assert "Received: " in message
    assert "\n" not in message
    return message


# Formats


def test_txt_is_a_sentence_a_line_without_blank_lines(write):
    path = write("a.txt", " no it was n't \n\n  \nblack monday")
    assert list(read_examples(path)) == ["no it was n't", "black monday"]


def test_a_path_may_be_a_string(write):
    assert list(read_examples(str(write("a.txt", "hello\n")))) == ["hello"]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "你好 世界\nhello\n", ["你好 世界", "hello"]),
        ("a.tsv", "很好\t正面\nbad\t0\n", [("很好", "正面"), ("bad", "0")]),
        ("a.csv", '"好, 很好",正面\nbad,0\n', [("好, 很好", "正面"), ("bad", "0")]),
        ("a.jsonl", '{"text": "很好", "label": "正面"}\n', [("很好", "正面")]),
        ("a.conllu", conllu(("1", "你好", "_", "INTJ")), [(["你好"], ["INTJ"])]),
        ("a.conll", "北 B-LOC\n京 I-LOC\n", [(["北", "京"], ["B-LOC", "I-LOC"])]),
        ("a.bio", "北 B-LOC\n京 I-LOC\n", [(["北", "京"], ["B-LOC", "I-LOC"])]),
    ],
)
def test_every_format_reads_chinese_and_gzip(write, name, content, expected, suffix):
    assert list(read_examples(write(name + suffix, content))) == expected


@pytest.mark.parametrize("pair", [("text", "label"), ("source", "target")])
def test_tsv_header_orders_the_columns_and_ignores_further_ones(write, pair):
    path = write("a.tsv", f"id\t{pair[1]}\t{pair[0]}\n7\t1\tgood\n8\t0\tbad\n")
    assert list(read_examples(path)) == [("good", "1"), ("bad", "0")]


def test_names_in_a_header_may_have_blanks_around_them(write):
    assert list(read_examples(write("a.csv", "label, text \n1,good\n"))) == [("good", "1")]


def test_csv_header_orders_the_columns(write):
    assert list(read_examples(write("a.csv", "label,text\n1,good\n"))) == [("good", "1")]


@pytest.mark.parametrize(("name", "tab"), [("a.tsv", "\t"), ("a.csv", ",")])
def test_columns_name_the_two_columns_of_a_header(write, name, tab):
    path = write(name, f"label{tab}text_a\n1{tab}很好\n")
    assert list(read_examples(path, columns=("text_a", "label"))) == [("很好", "1")]


def test_tsv_knows_no_quotes(write):
    path = write("a.tsv", '"so good\t1\nsaid "no"\t0\n')
    assert list(read_examples(path)) == [('"so good', "1"), ('said "no"', "0")]


def test_empty_lines_between_records_are_skipped(write):
    assert list(read_examples(write("a.tsv", "a\t1\n\nb\t0\n\n"))) == [("a", "1"), ("b", "0")]
    assert list(read_examples(write("a.csv", "a,1\n\nb,0\n\n"))) == [("a", "1"), ("b", "0")]
    line = '{"text": "a", "label": 1}\n'
    assert list(read_examples(write("a.jsonl", line + "\n" + line))) == [("a", "1"), ("a", "1")]


def test_csv_fields_may_hold_line_ends_and_a_record_is_located_where_it_starts(write):
    path = write("a.csv", 'text,label\r\n"two\r\nlines, ""quoted""",1\r\nbad,0\r\n')
    assert list(read_examples(path).located()) == [
        (('two\nlines, "quoted"', "1"), f"{path}:2"),
        (("bad", "0"), f"{path}:4"),
    ]


def test_jsonl_labels_may_be_integers_or_booleans(write):
    path = write("a.jsonl", '{"text": "a", "label": 1}\n{"label": true, "text": "b", "id": 9}\n')
    assert list(read_examples(path)) == [("a", "1"), ("b", "True")]


def test_jsonl_takes_source_and_target_or_the_keys_of_columns(write):
    assert list(read_examples(write("a.jsonl", '{"target": "x", "source": "y"}\n'))) == [("y", "x")]
    path = write("b.jsonl", '{"review": "好", "stars": 5, "text": "?", "label": "?"}\n')
    assert list(read_examples(path, columns=("review", "stars"))) == [("好", "5")]


def test_conllu_skips_comments_ranges_and_empty_nodes(write):
    words = [("1-2", "don't"), ("1", "do", "do", "AUX"), ("2", "n't", "not", "PART"), ("2.1", "go", "go", "VERB")]
    path = write("a.conllu", "# text = don't\n" + conllu(*words) + "\n\n" + conllu(("1", "_", "_", "SYM")))
    assert list(read_examples(path)) == [(["do", "n't"], ["AUX", "PART"]), (["_"], ["SYM"])]


def test_conllu_columns_choose_other_fields(write):
    path = write("a.conllu", conllu(("1", "dogs", "dog", "_", "NNS")))
    assert list(read_examples(path, columns=("FORM", "XPOS"))) == [(["dogs"], ["NNS"])]
    assert list(read_examples(path, columns=("LEMMA", "XPOS"))) == [(["dog"], ["NNS"])]


def test_conll_takes_the_first_and_last_column_and_skips_docstart(write):
    path = write("a.conll", "-DOCSTART- -DOCSTART- O\n\nDe Art O\nUnie\tN  B-ORG \n\nJa X O\n-DOCSTART- X O\nNee X O\n")
    assert list(read_examples(path)) == [(["De", "Unie"], ["O", "B-ORG"]), (["Ja"], ["O"]), (["Nee"], ["O"])]


def test_a_token_that_begins_like_the_sign_of_a_document_is_a_token(write):
    assert list(read_examples(write("a.conll", "a X\n-DOCSTART-2 Y\nb X\n"))) == [
        (["a", "-DOCSTART-2", "b"], ["X", "Y", "X"])
    ]


def test_an_ideographic_space_may_be_a_token(write):
    assert list(read_examples(write("a.bio", "好 O\n\u3000 O\n"))) == [(["好", "\u3000"], ["O", "O"])]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_two_files_are_parallel_text(write, suffix):
    source, target = write("a.en" + suffix, "hello\n\nbye\n"), write("b.zh" + suffix, "你好\r\n \r\n再见")
    examples = read_examples(source, target)
    assert list(examples) == [("hello", "你好"), ("bye", "再见")]
    assert [place for _, place in examples.located()] == [f"{source}:1", f"{source}:3"]


# Lines and bytes


def test_a_byte_order_mark_is_dropped(write):
    assert list(read_examples(write("a.txt", "\ufeffhello\n"))) == ["hello"]
    assert list(read_examples(write("a.tsv", "\ufefftext\tlabel\nhello\t1\n"))) == [("hello", "1")]


def test_a_byte_order_mark_further_down_is_text(write):
    assert list(read_examples(write("a.txt", "\ufeff\ufeffa\n\ufeffb\n"))) == ["\ufeffa", "\ufeffb"]


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_lines_may_end_with_carriage_return_and_line_feed(write, name):
    comma = "\t" if name == "a.tsv" else ","
    content = f"text{comma}label\r\na{comma}1\r\n\r\nb{comma}0\r\n"
    assert list(read_examples(write(name, content))) == [("a", "1"), ("b", "0")]


def test_conllu_and_bio_may_end_lines_with_carriage_return_and_line_feed(write):
    assert list(read_examples(write("a.bio", "a O\r\n\r\nb O\r\n"))) == [(["a"], ["O"]), (["b"], ["O"])]
    content = conllu(("1", "a", "_", "X", *["_"] * 6)).replace("\n", "\r\n")
    assert list(read_examples(write("a.conllu", content + "\r\n" + content))) == [(["a"], ["X"])] * 2


def test_of_two_carriage_returns_one_is_text(write):
    assert list(read_examples(write("a.tsv", "a\rb\t1\r\r\n"))) == [("a\rb", "1")]
    assert "no U+000D in a token" in message_of(write("a.bio", "a O\r\r\n"))


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_only_a_line_feed_ends_a_line(write, mark):
    assert list(read_examples(write("a.txt", f"one{mark}line\n"))) == [f"one{mark}line"]
    assert list(read_examples(write("a.tsv", f"one{mark}line\t1\n"))) == [(f"one{mark}line", "1")]
    assert list(read_examples(write("a.csv", f"one{mark}line,1\n"))) == [(f"one{mark}line", "1")]
    assert list(read_examples(write("a.bio", f"one{mark}token O\n"))) == [([f"one{mark}token"], ["O"])]


# Examples


def test_examples_can_be_iterated_again_and_at_the_same_time(write):
    examples = read_examples(write("a.txt", "a\nb\n"))
    assert list(examples) == list(examples) == ["a", "b"]
    assert list(zip(examples, examples, strict=True)) == [("a", "a"), ("b", "b")]


def test_every_iteration_reads_the_file_again(write):
    examples = read_examples(write("a.txt", "old\n"))
    write("a.txt", "new\n")
    assert list(examples) == ["new"]


def test_located_names_file_and_line(write):
    text = write("a.txt", "\na\n\nb\n")
    assert list(read_examples(text).located()) == [("a", f"{text}:2"), ("b", f"{text}:4")]
    tagged = write("a.bio", "\n\na O\n\nb O\n")
    assert [place for _, place in read_examples(tagged).located()] == [f"{tagged}:3", f"{tagged}:5"]


def test_examples_know_their_paths_and_say_them(write):
    path = write("a.tsv", "label\ttext_a\n1\ta\n")
    examples = read_examples(path, columns=("text_a", "label"))
    assert examples.paths == (path,)
    assert repr(examples) == f"Examples({str(path)!r}, columns=('text_a', 'label'))"


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts the open files of the process on Linux")
def test_files_are_closed_whether_read_to_the_end_or_not(write):
    path = write("a.txt.gz", "a\nb\n")
    before = os.listdir("/proc/self/fd")
    examples = read_examples(path)
    list(examples)
    iterator = iter(examples)
    next(iterator)
    iterator.close()
    message_of(write("b.bio.gz", "a O\nb\n"))
    assert os.listdir("/proc/self/fd") == before


def test_examples_can_be_pickled(write):
    examples = read_examples(write("a.tsv", "b\ta\n2\t1\n"), columns=("a", "b"))
    assert list(pickle.loads(pickle.dumps(examples))) == [("1", "2")]


# Errors of files


def test_a_missing_file_is_an_error_at_once(tmp_path):
    path = tmp_path / "no.txt"
    with pytest.raises(InputError, match=re.escape(f"{path}: ") + ".*Received: No such file"):
        read_examples(path)


def test_a_missing_second_file_is_named(write, tmp_path):
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'b.de'}: ")):
        read_examples(write("a.en", "a\n"), tmp_path / "b.de")


def test_a_directory_is_an_error(tmp_path):
    (tmp_path / "a.txt").mkdir()
    assert message_of(tmp_path / "a.txt").startswith(f"{tmp_path / 'a.txt'}: ")


def test_a_file_without_permission_is_an_error(write, monkeypatch):
    path = write("a.txt", "a\n")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)  # chmod would not stop root
    assert "Received: Permission denied" in message_of(path)


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
@pytest.mark.parametrize("name", ["a.txt", "a.tsv", "a.csv", "a.jsonl", "a.conllu", "a.bio", "a.txt.gz"])
def test_a_file_without_any_example_is_an_error_at_once(write, name, content):
    path = write(name, content)
    with pytest.raises(InputError, match=re.escape(f"{path}:1: expected at least one example. Received: ")):
        read_examples(path)


@pytest.mark.parametrize(("name", "content"), [("a.tsv", "text\tlabel\n"), ("a.conllu", "# nothing\n\n")])
def test_a_header_or_comment_alone_is_no_example(write, name, content):
    assert ":1: expected at least one example" in message_of(write(name, content))


def test_a_file_emptied_later_is_an_error_when_iterated(write):
    examples = read_examples(write("a.txt", "a\n"))
    write("a.txt", "")
    with pytest.raises(InputError, match="at least one example"):
        list(examples)


def test_a_file_that_only_claims_to_be_gzip_is_an_error(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(b"hello\n")
    assert message_of(path).startswith(f"{path}:1: expected a complete gzip file. Received: Not a gzipped file")


def test_a_truncated_gzip_file_is_an_error(tmp_path):
    path = tmp_path / "a.txt.gz"
    lines = "".join(f"{number} {number * 7919 % 104729}\n" for number in range(20000))
    path.write_bytes(gzip.compress(lines.encode())[:-1000])
    examples = read_examples(path)
    read = []
    with pytest.raises(InputError, match="expected a complete gzip file.*Received: ") as raised:
        for example in examples:  # `extend` would count them first
            read.append(example)
    assert read
    assert str(raised.value).startswith(f"{path}:{len(read) + 1}: ")


def test_a_gzip_file_with_broken_content_is_an_error(write):
    path = write("a.txt.gz", "hello world\n" * 1000)
    data = bytearray(path.read_bytes())
    data[10:30] = bytes(255 - byte for byte in data[10:30])
    path.write_bytes(bytes(data))
    assert "expected a complete gzip file" in message_of(path)


def test_invalid_utf8_names_file_line_and_byte(write):
    path = write("a.txt", "好\nab".encode() + b"\xff\n")
    assert read_examples(path)  # the first line is fine
    assert message_of(path) == f"{path}:2: expected UTF-8, also at byte 2 of the line. Received: b'\\xff'"


def test_invalid_utf8_after_a_byte_order_mark_counts_the_mark(write):
    assert "at byte 4 of the line" in message_of(write("a.txt", b"\xef\xbb\xbfa\xff\n"))


def test_an_unknown_ending_lists_the_known_ones(tmp_path):
    message = message_of(tmp_path / "ned.train.gz")
    assert message.startswith(str(tmp_path / "ned.train.gz"))
    for ending in (".txt", ".tsv", ".csv", ".jsonl", ".conllu", ".conll", ".bio", ".gz", "'ned.train.gz'"):
        assert ending in message


def test_three_files_and_two_files_with_known_endings_are_errors(write):
    path = write("a.en", "a\n")
    assert "3 files" in message_of(path, path, path)
    assert "not .txt" in message_of(write("a.txt", "a\n"), path)


@pytest.mark.parametrize("name", ["a.txt", "a.bio", "a.conll", "a.txt.gz"])
def test_columns_are_refused_where_there_are_none(write, name):
    assert "columns=('a', 'b')" in message_of(write(name, "a O\n"), columns=("a", "b"))


def test_columns_are_refused_for_parallel_text(write):
    assert "columns=" in message_of(write("a.en", "a\n"), write("a.de", "b\n"), columns=("a", "b"))


@pytest.mark.parametrize("columns", ["ab", ("a",), ("a", "b", "c"), ("a", 1), ("", "b"), ()])
def test_columns_must_be_two_names(write, columns):
    assert "columns to be two names" in message_of(write("a.tsv", "a\tb\n1\t2\n"), columns=columns)


# Errors of lines


@pytest.mark.parametrize(
    ("name", "content", "line", "part"),
    [
        ("a.tsv", "a\t1\nno tab\n", 2, "2 columns separated by a tab. Received: 1 in 'no tab'"),
        ("a.tsv", "a\t1\tb\n", 1, "3 in 'a\\t1\\tb'"),
        ("a.tsv", "text\tlabel\tid\na\t1\n", 2, "3 columns"),
        ("a.tsv", "a\t1\n\t1\n", 2, "'\\t1'"),
        ("a.tsv", "a\t1\n \t1\n", 2, "'the first column'"),
        ("a.tsv", "text\tlabel\na\t \n", 2, "'label'"),
        ("a.tsv", "text\tlabl\na\t1\n", 1, "text and label"),
        ("a.tsv", "label\ttext_a\n1\ta\n", 1, "columns="),
        ("a.tsv", "text\tlabel\tsource\ttarget\n1\t2\t3\t4\n", 1, "either"),
        ("a.tsv", "text\tlabel\tlabel\n1\t2\t3\n", 1, "'label' once"),
        ("a.csv", "a,1\nno comma\n", 2, "2 columns separated by a comma"),
        ("a.csv", 'a,1\n"two\nlines",1\n"b\nc"\n', 4, "1 in"),
        ("a.csv", 'a,1\n"b"x,1\n', 2, "a CSV record"),
        ("a.csv", 'a,1\n"never closed,1\nb,1\n', 2, "a CSV record"),
        ("a.csv", "a,1\n,1\n", 2, "'the first column'"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": \n', 2, "a JSON object"),
        ("a.jsonl", '["a", 1]\n', 1, "a JSON object"),
        ("a.jsonl", "[" * 100_000 + "\n", 1, "a JSON object"),
        ("a.jsonl", '{"text": "a"}\n', 1, "text and label"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b"}\n', 2, "the key 'label'"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"source": "b", "target": "c"}\n', 2, "the key 'text'"),
        ("a.jsonl", '{"text": "a", "label": 1.5}\n', 1, "'label'. Received: 1.5"),
        ("a.jsonl", '{"text": "a", "label": null}\n', 1, "Received: None"),
        ("a.jsonl", '{"text": "a", "label": [["x"]]}\n', 1, "Received: ['x']"),
        ("a.jsonl", '{"text": 7, "label": 1}\n', 1, "a string in 'text'. Received: 7"),
        ("a.jsonl", '{"text": " ", "label": 1}\n', 1, "'text'"),
        ("a.jsonl", '{"text": "a", "label": ""}\n', 1, "'label'"),
        ("a.jsonl", json.dumps({"text": "\ud800", "label": 1}) + "\n", 1, "Unicode text"),
        ("a.conllu", conllu(("1", "a", "_", "X")) + "2\tb\t_\tX\n", 2, "10 columns separated by tabs. Received: 4"),
        ("a.conllu", conllu(("1", "a", "_", "X"), ("2", "b")), 2, "there is no UPOS tag"),
        ("a.conllu", conllu(("x", "a", "_", "X")), 1, "an id such as"),
        ("a.conllu", conllu(("1", "", "_", "X")), 1, "'FORM'"),
        ("a.bio", "a O\n\nb\n", 3, "a token and a tag separated by blanks. Received: 'b'"),
        ("a.conll", "a O\n O \n", 2, "a token and a tag"),
        ("a.bio", "a O\n\u3000\n", 2, "a token and a tag"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_wrong_line_is_named(write, name, content, line, part, suffix):
    path = write(name + suffix, content)
    message = message_of(path)
    assert message.startswith(f"{path}:{line}: expected ")
    assert part in message


def test_a_header_that_lacks_a_chosen_column_is_an_error(write):
    path = write("a.tsv", "text\tlabel\na\t1\n")
    assert message_of(path, columns=("text_a", "label")).startswith(
        f"{path}:1: expected a header with the column 'text_a'"
    )


def test_a_missing_key_of_columns_is_an_error(write):
    path = write("a.jsonl", '{"text": "a", "label": 1}\n')
    assert message_of(path, columns=("text", "stars")).startswith(f"{path}:1: expected the key 'stars'")


def test_an_unknown_conllu_field_lists_the_known_ones(write):
    message = message_of(write("a.conllu", conllu(("1", "a", "_", "X"))), columns=("FORM", "POS"))
    assert "ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC" in message
    assert message.endswith("Received: 'POS'")


def test_an_unspecified_chosen_tag_is_an_error(write):
    path = write("a.conllu", conllu(("1", "a", "_", "X")))
    assert "there is no XPOS tag" in message_of(path, columns=("FORM", "XPOS"))


def test_what_was_received_is_shortened(write):
    message = message_of(write("a.tsv", "x" * 1000 + "\n"))
    assert len(message.partition("Received: ")[2]) <= 60
    assert message.endswith("…")


def test_errors_further_down_come_only_when_iterated(write):
    path = write("a.tsv", "a\t1\nb\t2\nwrong\n")
    iterator = iter(read_examples(path))
    assert [next(iterator), next(iterator)] == [("a", "1"), ("b", "2")]
    with pytest.raises(InputError, match=re.escape(f"{path}:3: ")):
        next(iterator)


@pytest.mark.parametrize(("longer", "shorter"), [(0, 1), (1, 0)])
@pytest.mark.parametrize("lines", ["a\n", ""])
def test_parallel_files_of_unequal_length_name_both_counts_and_the_first_line_alone(write, longer, shorter, lines):
    contents = {longer: "a\nalone\nx\ny\n", shorter: lines}
    paths = [write("a.en", contents[0]), write("a.de", contents[1])]
    message = message_of(*paths)
    count = lines.count("\n")
    assert message.startswith(f"{paths[longer]}:{count + 1}: ")
    assert f"{paths[shorter]}, which has {count}, not 4" in message
    assert message.endswith("Received: 'alone'" if count else "Received: 'a'")


@pytest.mark.parametrize("empty", [0, 1])
def test_an_empty_line_on_one_side_is_an_error(write, empty):
    contents = ["a\n\nb\n", "c\nd\ne\n"]
    paths = [write("a.en", contents[empty]), write("a.de", contents[1 - empty])]
    message = message_of(*paths)
    assert message.startswith(f"{paths[empty]}:2: ")
    assert f"{paths[1 - empty]}:2" in message


def test_invalid_utf8_in_the_second_of_two_files_names_that_file(write):
    path = write("b.de", b"a\n\xff\n")
    assert message_of(write("a.en", "a\nb\n"), path).startswith(f"{path}:2: ")


# Many files


def test_a_pattern_is_all_files_that_match_in_the_order_of_their_names(write, tmp_path):
    for name, content in (("b.txt.gz", "3\n"), ("a.txt", "1\n2\n"), ("c.tsv", "x\ty\n")):
        write(name, content)
    examples = read_examples(tmp_path / "*.txt*")
    assert list(examples) == ["1", "2", "3"]
    assert [list(part) for part in examples.parts] == [["1", "2"], ["3"]]
    assert [place for _, place in examples.located()][-1] == f"{tmp_path / 'b.txt.gz'}:1"


def test_a_pattern_reaches_into_folders_and_leaves_out_the_folders_themselves(write, tmp_path):
    for folder in (tmp_path / "x" / "y", tmp_path / "x" / "folder.txt"):
        folder.mkdir(parents=True)
    write("a.txt", "1\n")
    write("x/y/b.txt", "2\n")
    assert list(read_examples(tmp_path / "**" / "*.txt")) == ["1", "2"]


def test_several_files_of_one_format_are_one_corpus(write):
    assert list(read_examples(write("b.tsv", "b\t1\n"), write("a.tsv.gz", "label\ttext\n0\ta\n"))) == [
        ("b", "1"),
        ("a", "0"),
    ]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(write):
    write("a1.txt", "other\n")
    assert list(read_examples(write("a[1].txt", "this\n"))) == ["this"]


def test_patterns_of_parallel_text_pair_up_and_must_match_as_many_files(write, tmp_path):
    for name in ("1.en", "2.en", "1.de", "2.de"):
        write(name, f"{name}\n")
    patterns = tmp_path / "*.en", tmp_path / "*.de"
    assert list(read_examples(*patterns)) == [("1.en", "1.de"), ("2.en", "2.de")]
    write("3.de", "alone\n")
    assert message_of(*patterns).endswith("Received: 2 and 3")


def test_a_pattern_that_nothing_matches_and_files_of_two_formats_are_errors(write, tmp_path):
    assert "a pattern that a file matches" in message_of(tmp_path / "*.txt")
    assert message_of(write("a.txt", "a\n"), write("a.bio", "a O\n")).endswith("Received: .bio, .txt")


def test_every_file_is_looked_into_at_once(write):
    with pytest.raises(InputError, match="at least one example"):
        read_examples(write("a.txt", "a\n"), write("b.txt", "\n"))
