"""The whole way of a model on a tiny scale: pretrain, fine-tune any architecture, export, and score the same."""

import json

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    ElectraConfig,
    ElectraModel,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

from nlp_compliance.checker import build_checker
from nlp_compliance.inference.bundle import open_bundle
from nlp_compliance.inference.runtime import Encoder
from nlp_compliance.records import Document
from nlp_compliance.settings import Settings
from training import export, finetune, pretrain
from training.corpus import load_sentences, load_split
from training.dataset import parsed
from training.muon import Muon, orthogonalised
from training.ngrams import NgramEmbedding, load_ngrams
from training.score import TorchScorer
from training.tokenizer import build_tokenizer, choose_vocabulary, count_characters, save_tokenizer

# Exported float32 logits may differ from the trained model's by this much; int8 by INT8 in the mean.
FLOAT32, INT8 = 2e-3, 0.35
TEXTS = (
    "政府兜底，什么病都赔，快来投保",
    "好",
    "\u200b政 府 👉 兜 底 ㊣ 𠮷 \x07",
    "沁河保住院自付超过1.6万元的部分报七成，牙科、整形不赔。" * 40,
    "HTTP://EXAMPLE.COM/保险?id=1",
)


@pytest.fixture(scope="module")
def documents():
    return load_split("train")[::60]


@pytest.fixture(scope="module")
def sentences():
    return load_sentences()[::150]


@pytest.fixture(scope="module")
def vocabulary(documents):
    return choose_vocabulary(count_characters(e.text for e in documents), size=1200, minimum=1)


TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def tiny_encoder(family: str, size: int):
    if family == "bert":
        return BertModel(BertConfig(vocab_size=size, **TINY))
    if family == "roberta":
        return RobertaModel(RobertaConfig(vocab_size=size, pad_token_id=0, **TINY))
    if family == "electra":
        return ElectraModel(ElectraConfig(vocab_size=size, embedding_size=16, **TINY))
    return ModernBertModel(
        ModernBertConfig(vocab_size=size, pad_token_id=0, cls_token_id=2, sep_token_id=3, bos_token_id=2,
                         eos_token_id=3, global_attn_every_n_layers=1, **TINY)
    )  # fmt: skip


@pytest.fixture(params=["bert", "roberta", "electra", "modernbert"])
def base(request, tmp_path, vocabulary):
    torch.manual_seed(1)
    tokenizer = build_tokenizer(vocabulary)
    tiny_encoder(request.param, tokenizer.get_vocab_size()).save_pretrained(tmp_path / "base")
    save_tokenizer(tokenizer, tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def small_data(monkeypatch, documents, sentences):
    """The same functions on a slice of the corpus, so that the test takes seconds."""
    monkeypatch.setattr(finetune, "load_split", lambda split: documents)
    monkeypatch.setattr(finetune, "load_sentences", lambda: sentences)
    monkeypatch.setattr(export, "load_split", lambda split: documents[:8])
    monkeypatch.setattr(export, "load_sentences", lambda: sentences[:20])


def tuned(base, out) -> None:
    arguments = ["--base", str(base), "--out", str(out), "--epochs", "1", "--quiet", "--muon", "1e-3", "--fgm", "0.5"]
    assert finetune.main(arguments) == 0


def test_any_architecture_trains_and_scores_the_same_after_export(base, tmp_path, small_data):
    run = tmp_path / "run"
    tuned(base, run)
    assert export.main(["--run", str(run), "--out", str(tmp_path / "full"), "--float32"]) == 0
    documents = [parsed(t) for t in TEXTS]
    expected = TorchScorer(run).score(documents)
    found = Encoder(open_bundle(tmp_path / "full")).score(documents)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(a.document, b.document, atol=FLOAT32)
        np.testing.assert_allclose(a.tokens, b.tokens, atol=FLOAT32)


def test_pretrained_with_ngrams_to_a_bundle_that_the_checker_takes(tmp_path, monkeypatch, documents, small_data):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(e.text.replace("\n", "。") for e in documents), encoding="utf-8")
    monkeypatch.setitem(
        pretrain.PRESETS, "tiny", pretrain.Preset("modernbert", 2, 32, 2, 48, 4, 32, 1e-3, 1e-3, ngrams=True)
    )
    out = tmp_path / "encoder"
    command = ["--text", f"{text}:2", "--out", str(out), "--preset", "tiny", "--min-count", "1", "--log-every", "5"]
    assert pretrain.main([*command, "--minutes", "0.02"]) == 0
    first = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    assert pretrain.main([*command, "--minutes", "0.04"]) == 0, "a second call goes on"
    last = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()][-1]
    assert last["step"] > first[-1]["step"] > 0
    assert (out / "loss.png").stat().st_size > 1000
    assert AutoModel.from_pretrained(out).config.hidden_size == 32
    assert load_ngrams(out) is not None
    again = tmp_path / "again"
    more = ["--text", str(text), "--out", str(again), "--preset", "tiny", "--min-count", "1", "--minutes", "0.01"]
    assert pretrain.main([*more, "--init", str(out)]) == 0

    run = tmp_path / "run"
    tuned(out, run)
    kept = tmp_path / "kept"
    assert export.main(["--run", str(run), "--out", str(tmp_path / "bundle"), "--keep", str(kept)]) == 0
    tuned(kept, tmp_path / "more")
    parsed_texts = [parsed(t) for t in TEXTS]
    for a, b in zip(
        TorchScorer(run).score(parsed_texts), Encoder(open_bundle(tmp_path / "bundle")).score(parsed_texts), strict=True
    ):
        assert np.abs(a.document - b.document).mean() < INT8
    report = build_checker(Settings(bundle=tmp_path / "bundle")).check(Document("1", TEXTS[0]))
    assert report.model.name == "nlp-compliance-encoder"


def test_ngrams_do_not_depend_on_the_batch():
    torch.manual_seed(0)
    ngrams = NgramEmbedding(8, buckets=64, size=4)
    ids = torch.tensor([[2, 9, 17, 3]])
    padded = torch.tensor([[2, 9, 17, 3, 0, 0]])
    torch.testing.assert_close(ngrams(ids)[0], ngrams(padded)[0, :4])
    swapped = ngrams(torch.tensor([[2, 17, 9, 3]]))
    assert not torch.allclose(ngrams(ids)[0, 1], swapped[0, 2])


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4)])
def test_orthogonalised_has_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalised(torch.randn(shape)))
    assert float(values.min()) > 0.5 and float(values.max()) < 1.4


def test_muon_refuses_vectors():
    with pytest.raises(ValueError, match="matrices only"):
        Muon([{"params": [torch.nn.Parameter(torch.zeros(3))]}], lr=0.1)


def test_word_piece_base_keeps_its_embeddings(tmp_path, vocabulary):
    """A BERT-like vocabulary has pieces beside characters; the characters keep their ids."""
    from tokenizers import Tokenizer, models

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##保", "保险", *vocabulary]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]")),
        unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip
    fast.save_pretrained(tmp_path)
    BertModel(BertConfig(vocab_size=len(pieces), **TINY)).save_pretrained(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    finetune.save_characters(str(tmp_path), out)
    table = finetune.load_characters(out / "tokenizer.json")
    assert table.encode("保")[0] == pieces.index("保")
