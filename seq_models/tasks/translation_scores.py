"""BLEU, chrF and TER as sacrebleu computes them, with the signatures that make them comparable."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
from sacrebleu.metrics import BLEU, CHRF, TER

# Scripts that are written without spaces between words, by the first word of the names of their characters.
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
MOST = 0.5  # of the letters
ORDER = 4  # tokens of the longest n-grams
SMOOTHING = "exp"  # the default of WMT


def tokenizer_for(texts: Sequence[str]) -> str:
    """The name of sacrebleu's tokenizer for the script that most letters of texts belong to.

    Chinese is "zh"; Japanese "ja-mecab" and Korean "ko-mecab" if their tokenizers are installed, else "char"; other
    scripts without spaces "char"; all others "13a", the default of WMT.
    """
    scripts: Counter[str] = Counter()
    for character, count in Counter("".join(texts)).items():
        if unicodedata.category(character)[0] in "LM":
            scripts[unicodedata.name(character, "").split(" ")[0].removesuffix("-")] += count
    total = scripts.total()
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    if scripts["HANGUL"] > MOST * total:
        return _installed("ko-mecab")
    if sum(scripts[name] for name in UNSPACED) <= MOST * total:
        return "13a"
    if kana > 0.1 * total:  # Chinese has none, Japanese about half
        return _installed("ja-mecab")
    return "zh" if scripts["CJK"] > MOST * total else "char"


def _installed(tokenizer):
    """A tokenizer, or "char" where a package that it needs is missing."""
    try:
        BLEU(tokenize=tokenizer)
    except (RuntimeError, ImportError):
        return "char"
    return tokenizer


def translation_scores(answers: Sequence[str], targets: Sequence[str]) -> dict[str, float | str]:
    """BLEU, cased and lower-cased, chrF and TER over the whole corpus, in percent, with sacrebleu's signatures.

    BLEU and chrF are at most 100; TER, the edits that make an answer the target by the words of the target, is 0 for
    the target and has no bound [Snover et al. 2006]. It is that of lower-cased texts, as sacrebleu's is by default;
    where a script has no spaces between words its characters are the words. In BLEU, orders of n-grams that no text is
    long enough for are left out, so that right answers of a token or two reach 100.

    Args:
        answers, targets: Texts, as many of one as of the other.
    """
    unspaced = tokenizer_for(targets) != "13a"
    metrics = {
        "bleu": _bleu(targets),
        "bleu_lowercased": _bleu(targets, lowercase=True),
        "chrf": CHRF(),
        "ter": TER(normalized=unspaced, asian_support=unspaced),
    }
    scores: dict[str, float | str] = {}
    for name, metric in metrics.items():
        scores[name] = metric.corpus_score(answers, [targets]).score
        scores[f"{name}_signature"] = str(metric.get_signature())
    return scores


def bleu_statistics(answers: Sequence[str], targets: Sequence[str]) -> np.ndarray:
    """Of each answer what corpus BLEU is made of, integers (N, 10).

    How many tokens it has and how many the target; how many n-grams of it are in the target, n from 1 to 4; and how
    many n-grams it has.
    """
    metric = _bleu(targets)
    found = (metric.sentence_score(answer, [target]) for answer, target in zip(answers, targets, strict=True))
    return np.array([[each.sys_len, each.ref_len, *each.counts, *each.totals] for each in found])


def bleu_of(sums: np.ndarray) -> float:
    """The BLEU of a corpus, that of `translation_scores`, from the sums of its `bleu_statistics`, (10,)."""
    sys_len, ref_len, *ngrams = sums.tolist()
    correct, total = ngrams[:ORDER], ngrams[ORDER:]
    return BLEU.compute_bleu(correct, total, sys_len, ref_len, SMOOTHING, effective_order=True).score


def _bleu(targets, lowercase=False):
    tokenizer = tokenizer_for(targets)
    return BLEU(lowercase, tokenize=tokenizer, smooth_method=SMOOTHING, max_ngram_order=ORDER, effective_order=True)
