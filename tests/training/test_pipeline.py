"""The whole way of a model on a tiny scale: pretrain, fine-tune any architecture, export, and score the same."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch._inductor import config as inductor
from transformers import (
    AutoConfig,
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
from training import export, finetune, pretrain, trials, words
from training.corpus import LabelledSpan, load_sentences, load_split
from training.dataset import label_balanced, parsed
from training.deepen import deepen
from training.model import fuse, start_model
from training.muon import Muon, orthogonalised
from training.score import TorchScorer
from training.tokenizer import build_tokenizer, choose_vocabulary, count_characters, save_tokenizer
from training.wordtable import WordTable, load_words, word_table

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


def saved_encoder(family: str, folder, vocabulary):
    torch.manual_seed(1)
    tokenizer = build_tokenizer(vocabulary)
    tiny_encoder(family, tokenizer.get_vocab_size()).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


@pytest.fixture(params=["bert", "roberta", "electra", "modernbert"])
def base(request, tmp_path, vocabulary):
    return saved_encoder(request.param, tmp_path / "base", vocabulary)


@pytest.fixture
def own(tmp_path, vocabulary):
    """An encoder of the architecture that ships."""
    return saved_encoder("modernbert", tmp_path / "base", vocabulary)


@pytest.fixture
def small_data(monkeypatch, documents, sentences):
    """The same functions on a slice of the corpus, so that the test takes seconds."""
    monkeypatch.setattr(finetune, "load_split", lambda split: documents)
    monkeypatch.setattr(finetune, "load_sentences", lambda: sentences)
    monkeypatch.setattr(export, "load_split", lambda split: documents[:8])
    monkeypatch.setattr(export, "load_sentences", lambda: sentences[:20])


# PyTorch's compiler calls a function of its own that it has deprecated.
uses_inductor = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


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


def test_pretrained_with_words_to_a_bundle_that_the_checker_takes(tmp_path, monkeypatch, documents, small_data):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(e.text.replace("\n", "。") for e in documents), encoding="utf-8")
    monkeypatch.setitem(pretrain.PRESETS, "tiny", pretrain.Preset("modernbert", 2, 32, 2, 48, 4, 32, 1e-3, 1e-3))
    out, vectors = tmp_path / "encoder", tmp_path / "vectors"
    learn = ["--text", str(text), "--out", str(vectors), "--size", "8", "--min-count", "2", "--threads", "1"]
    assert words.main([*learn, "--probe", "保险", "无此词"]) == 0
    command = ["--text", f"{text}:2", "--out", str(out), "--preset", "tiny", "--min-count", "1", "--log-every", "5"]
    command += ["--words", str(vectors)]
    assert pretrain.main([*command, "--minutes", "0.02"]) == 0
    first = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    assert pretrain.main([*command, "--minutes", "0.04"]) == 0, "a second call goes on"
    last = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()][-1]
    assert last["step"] > first[-1]["step"] > 0
    assert (out / "loss.png").stat().st_size > 1000
    assert AutoModel.from_pretrained(out).config.hidden_size == 32
    table = load_words(out)
    assert table is not None and len(table.codes) > 20
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


VECTORS = np.eye(4, dtype=np.float32)


def small_table() -> WordTable:
    torch.manual_seed(0)
    ids = {"[PAD]": 0, "政": 5, "府": 6, "兜": 7, "底": 8, "保": 9}
    return word_table(["政府", "政府兜", "兜底", "无字"], VECTORS, ids, 8)


def test_a_word_is_seen_from_each_of_its_characters_and_nowhere_else():
    table = small_table()
    assert len(table.codes) == 4, "a word outside the vocabulary is left out"
    with torch.no_grad():
        found = table(torch.tensor([[2, 5, 6, 9, 7, 8, 3]]))[0]
    seen = found.abs().sum(-1) > 0
    assert seen.tolist() == [False, True, True, False, True, True, False]
    masked = table(torch.tensor([[2, 5, 4, 9, 7, 8, 3]]))[0].abs().sum(-1) > 0
    assert masked.tolist() == [False, False, False, False, True, True, False]


def test_words_do_not_depend_on_the_batch():
    table = small_table()
    ids = torch.tensor([[2, 5, 6, 7, 3]])
    padded = torch.tensor([[2, 5, 6, 7, 3, 0, 0]])
    torch.testing.assert_close(table(ids)[0], table(padded)[0, :5])


def test_blanked_characters_are_inside_the_text():
    mask = np.array([[1, 1, 1, 1, 1, 1, 1, 0]]).repeat(400, axis=0)
    blank = finetune.blanks(mask, 0.2, np.random.default_rng(1))
    assert not blank[:, [0, 6, 7]].any()
    assert 0.1 < blank[:, 1:6].mean() < 0.3


def test_batches_hold_every_window_once_in_few_shapes_and_keep_the_budget():
    rng = np.random.default_rng(3)
    labels = finetune.empty_document_targets(0.0)
    rows = [
        finetune.Window(np.zeros(n, dtype=np.int64), np.zeros((n, len(finetune.SPAN_LABELS)), dtype=np.int8), labels, i)
        for i, n in enumerate(rng.integers(1, 255, 3000))
    ]
    batches = list(finetune.token_budget_batches(rows, 4096, random.Random(1)))
    assert sorted(r.owner for batch in batches for r in batch) == list(range(3000))
    table = finetune.load_characters(finetune.ENCODER / "tokenizer.json")
    shapes = {finetune.collate(batch, table)["ids"].shape for batch in batches}
    assert all(count * length <= 4096 for count, length in shapes)
    # One shape for each of the sixteen lengths, and what is left over where one length gives way to the next.
    assert {length for _, length in shapes} == set(range(16, 257, 16)) and len(shapes) <= 3 * 16


def test_rare_labels_are_shown_more_often_in_as_many_documents():
    label = {name: (LabelledSpan(0, 1, name),) for name in ("false_urgency", "investment_return")}
    common, rare = label["false_urgency"], label["investment_return"]
    some = load_split("train")[0]
    kinds = [common] * 160 + [rare] * 10 + [()] * 40
    examples = [replace(some, id=str(i), spans=spans) for i, spans in enumerate(kinds)]
    shown = [e.spans for seed in range(20) for e in label_balanced(examples, random.Random(seed))]
    assert len(shown) == 20 * len(examples)
    # Sixteen times as rare, so four times as often; the sum of the factors is 160 + 4 * 10 + 40 = 240 for 210 places.
    assert shown.count(rare) / 20 == pytest.approx(4 * 10 * 210 / 240, rel=0.1)
    assert shown.count(()) / 20 == pytest.approx(40 * 210 / 240, rel=0.1)


def test_teachers_stand_in_for_their_share_of_the_labels(tmp_path, own, small_data):
    run = tmp_path / "run"
    tuned(own, run)
    teachers = finetune.Teachers([run, run], 0.25, run / "tokenizer.json", "cpu")
    table = finetune.load_characters(run / "tokenizer.json")
    windows = finetune.document_windows(
        "政府兜底，什么病都赔", (), finetune.UNKNOWN, table, owner=0, max_tokens=64, overlap=8
    )
    batch = finetune.to_tensors(finetune.collate(windows, table), "cpu")
    said = TorchScorer(run).score([parsed("政府兜底，什么病都赔")])[0]
    teachers.teach(batch)
    probability = 1 / (1 + np.exp(-said.document))
    expected = np.concatenate([probability[:1], 0.25 * probability[1:]])
    np.testing.assert_allclose(batch["document"][0], expected, atol=0.01)
    np.testing.assert_allclose(
        batch["tokens"][0, 1 : len(said.tokens) + 1], 0.25 / (1 + np.exp(-said.tokens)), atol=0.01
    )

    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="other characters"):
        finetune.Teachers([run], 0.5, tmp_path / "other.json", "cpu")


def test_a_deeper_encoder_begins_as_the_one_it_grew_from(own, tmp_path, vocabulary):
    encoder = AutoModel.from_pretrained(own).eval()
    deep = deepen(encoder).eval()
    ids = torch.tensor([[2, 11, 12, 13, 3]])
    assert len(deep.layers) == 4
    torch.testing.assert_close(deep(ids).last_hidden_state, encoder(ids).last_hidden_state)
    other = AutoModel.from_pretrained(saved_encoder("bert", tmp_path / "bert", vocabulary))
    with pytest.raises(ValueError, match="a bert cannot be deepened"):
        deepen(other)


def test_a_stopped_run_ends_as_one_that_was_not_stopped(own, tmp_path, monkeypatch, small_data, capsys):
    def command(out):
        options = ["--epochs", "3", "--quiet", "--muon", "1e-3", "--threads", "1", "--fraction", "0.3"]
        return ["--base", str(own), "--out", str(tmp_path / out), *options]

    assert finetune.main(command("whole")) == 0
    step, calls = finetune.Training._step, []

    def stopped(self, rows, progress, noise):
        calls.append(progress)
        if progress > 0.5:
            raise KeyboardInterrupt
        return step(self, rows, progress, noise)

    monkeypatch.setattr(finetune.Training, "_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        finetune.main(command("run"))
    monkeypatch.setattr(finetune.Training, "_step", step)
    with pytest.raises(ValueError, match="other options"):
        finetune.main([*command("run"), "--seed", "2"])
    capsys.readouterr()
    # Where it goes on, on a machine with more cores, say, the epochs may be made by other processes.
    assert finetune.main([*command("run"), "--workers", "1"]) == 0
    assert "resumed after epoch 1" in capsys.readouterr().out
    whole, run = (load_file(tmp_path / out / "model.safetensors") for out in ("whole", "run"))
    assert max(float((whole[n] - run[n]).abs().max()) for n in whole if whole[n].is_floating_point()) < 1e-6
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


@uses_inductor
def test_a_compiled_network_gives_the_same_scores_and_gradients(own, capsys):
    model = start_model(str(own), dropout=0.0).train()
    ids = torch.randint(5, 300, (3, 32), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[1, 20:] = 0

    def once() -> list[torch.Tensor]:
        model.zero_grad()
        tokens, document = model(ids, mask)
        (tokens.square().mean() + document.square().mean()).backward()
        return [tokens.detach(), document.detach(), model.token_head.weight.grad.clone()]

    plain = once()
    fuse(model)
    if "not compiled" in capsys.readouterr().err:
        pytest.skip("no C++ compiler, or Python's headers are missing")
    torch.testing.assert_close(once(), plain, atol=1e-5, rtol=1e-4)


@uses_inductor
def test_without_a_compiler_training_says_so_and_goes_on(own, tmp_path, small_data, monkeypatch, capsys):
    out = tmp_path / "run"
    command = ["--base", str(own), "--out", str(out), "--epochs", "1", "--quiet", "--fraction", "0.3", "--compile"]
    # Nothing that was compiled before may be taken instead.
    torch._dynamo.reset()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    with inductor.patch({"cpp.cxx": (None, "no-such-compiler")}):
        assert finetune.main(command) == 0
    assert "not compiled" in capsys.readouterr().err and (out / "model.safetensors").is_file()


def test_trials_are_trained_once_measured_and_written_down(own, tmp_path, monkeypatch, small_data):
    chosen = ("plain", "without-pretraining", "balanced", "ensemble-taught", "sixteenth", "deeper", "deeper-taught")
    assert " ".join(trials.RECIPE) in (trials.ROOT / "Makefile").read_text("utf-8"), "one trains as `make train`"
    monkeypatch.setattr(trials, "TRIALS", {n: replace(t, share=0.5) for n, t in trials.TRIALS.items() if n in chosen})
    disguised = {e.group for e in load_split("train") if e.disguise}
    twins = [e for e in load_split("train") if e.group in disguised][:30]
    monkeypatch.setattr(trials, "load_split", lambda split: twins)
    for name, path in (("RESULTS", "trials.json"), ("PAGE", "trials.md"), ("FIGURE", "curve.png")):
        monkeypatch.setattr(trials, name, tmp_path / path)
    command = ["--base", str(own), "--runs", str(tmp_path / "runs"), "--threads", "1"]
    assert trials.main([*command, "--only", *chosen]) == 0
    weights = tmp_path / "runs" / "plain" / "model.safetensors"
    written = weights.stat().st_mtime_ns
    assert trials.main([*command, "--only", "plain"]) == 0, "what is there is measured again and not trained again"
    assert weights.stat().st_mtime_ns == written
    results = json.loads((tmp_path / "trials.json").read_text("utf-8"))
    assert list(results) == list(chosen) and {n for n in results if "gap" not in results[n]} == {
        "plain",
        "sixteenth",
    }
    settings = {n: json.loads((tmp_path / "runs" / n / "finetune.json").read_text("utf-8")) for n in chosen}
    assert settings["balanced"]["balance"] and settings["without-pretraining"]["without_pretraining"]
    assert [len(settings[n]["teacher"] or []) for n in chosen] == [0, 0, 0, 2, 0, 0, 1]
    assert AutoConfig.from_pretrained(tmp_path / "runs" / "deeper").num_hidden_layers == 4
    page = (tmp_path / "trials.md").read_text("utf-8")
    assert (
        sum(line.startswith("| ") for line in page.splitlines()) == 1 + len(chosen)
        and "| plain, an eighth of the groups |" in page
    )


def test_replay_shows_all_of_the_extra_texts_and_a_part_of_the_corpus(tmp_path, documents, vocabulary, small_data):
    save_tokenizer(build_tokenizer(vocabulary), tmp_path)
    new = [replace(e, id=f"new-{i}", group=f"new-{i}") for i, e in enumerate(documents[:5])]
    extra = tmp_path / "extra.jsonl"
    extra.write_text("".join(json.dumps(e.as_json(), ensure_ascii=False) + "\n" for e in new), encoding="utf-8")
    options = ["--out", str(tmp_path), "--augment", "0", "--names", "0", "--extra", str(extra)]
    sizes = {}
    for share in ("1", "0.2"):
        args = finetune.make_parser().parse_args([*options, "--replay", share])
        data = finetune.Data(args, finetune.load_characters(tmp_path / "tokenizer.json"))
        shown = {id(row) for row in data.epoch(0)}
        assert all(id(row) in shown for e in data.extra for row in data.plain[e.id])
        sizes[share] = sum(id(row) in shown for e in data.corpus for row in data.plain[e.id])
    assert 0 < sizes["0.2"] < sizes["1"] / 2


def test_replay_shows_all_of_the_new_bank_files_and_a_part_of_the_others(tmp_path, vocabulary, small_data):
    save_tokenizer(build_tokenizer(vocabulary), tmp_path)
    options = ["--out", str(tmp_path), "--replay", "0.1", "--new-bank", "false_urgency*"]
    data = finetune.Data(
        finetune.make_parser().parse_args(options), finetune.load_characters(tmp_path / "tokenizer.json")
    )
    assert {s.filed_under for s in data.new_bank} == {"false_urgency"}
    assert "false_urgency" not in {s.filed_under for s in data.bank} and data.bank
    shown = []
    data._bank_rows = lambda bank, rng: shown.extend(bank) or []
    data.epoch(0)
    assert {s.id for s in data.new_bank} <= {s.id for s in shown}
    assert len(shown) - len(data.new_bank) == round(0.1 * len(data.bank))


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4)])
def test_orthogonalised_has_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalised(torch.randn(1, *shape)))
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
