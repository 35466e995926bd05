"""Sampling follows its schedule and its filters; masking is the paper's cosine; the synthesizer reads its condition."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from recon.mmhmr.masking import cosine_ratio, masked_loss, random_mask
from recon.mmhmr.sampling import SamplingConfig, filter_logits, sample, share_left
from recon.mmhmr.transformer import GraphBlock, MaskedSynthesizer, TokenContext, TokenCrossAttention

CODES, LENGTH = 40, 12


def synthesizer(**options) -> MaskedSynthesizer:
    torch.manual_seed(0)
    factory = options.pop("factory", lambda: TokenCrossAttention(16, 2))
    return MaskedSynthesizer(torch.randn(CODES, 8), LENGTH, factory, dim=16, layers=2, heads=2, **options).eval()


def context(batch: int) -> TokenContext:
    generator = torch.Generator().manual_seed(1)
    return TokenContext(torch.randn(batch, 5, 16, generator=generator), torch.zeros(batch, 5, dtype=torch.bool))


def test_mask_share_is_the_cosine_of_a_uniform_number():
    assert cosine_ratio(0.0) == 1 and cosine_ratio(1.0).abs() < 1e-6
    torch.manual_seed(0)
    masks = random_mask(4000, LENGTH)
    assert masks.any(-1).all()
    assert masks.float().mean() == pytest.approx(2 / math.pi, abs=0.06)  # ceil adds a little
    assert random_mask(500, LENGTH, tau_max=0.0).all()
    assert (random_mask(500, LENGTH, tau_max=0.7).sum(-1) >= math.ceil(math.cos(0.35 * math.pi) * LENGTH)).all()


def test_only_masked_tokens_count_in_the_loss():
    logits, tokens = torch.randn(2, 4, 9), torch.randint(9, (2, 4))
    mask = torch.tensor([[True, False, False, True], [False, True, False, False]])
    loss = masked_loss(logits, tokens, mask)
    logits[~mask] = 100 * torch.randn(5, 9)
    assert torch.equal(loss, masked_loss(logits, tokens, mask))


@pytest.mark.parametrize("steps", [1, 5, 12])
def test_all_tokens_are_fixed_in_the_end_and_kept_ones_never_change(steps):
    model, seen = synthesizer(), []

    def denoise(tokens):
        seen.append(tokens.clone())
        return model(tokens, context(3))

    out = sample(denoise, 3, LENGTH, model.mask_id, SamplingConfig(num_steps=steps), torch.Generator().manual_seed(0))
    assert out.tokens.max() < CODES and len(seen) == steps
    expected = [LENGTH] + [math.ceil(share_left(t / steps, "cosine") * LENGTH - 1e-6) for t in range(1, steps)]
    assert list(out.masked_at) == expected
    for earlier, later in zip(seen, [*seen[1:], out.tokens], strict=True):
        kept = earlier != model.mask_id
        assert torch.equal(earlier[kept], later[kept])
    assert ((out.confidence > 0) & (out.confidence <= 1)).all()


def test_greedy_sampling_takes_the_most_probable_and_reports_its_probability():
    logits = torch.randn(2, LENGTH, CODES)
    out = sample(lambda tokens: logits, 2, LENGTH, CODES, SamplingConfig(num_steps=4, top_k=1))
    assert torch.equal(out.tokens, logits.argmax(-1))
    assert torch.allclose(out.confidence, logits.softmax(-1).amax(-1))
    assert torch.allclose(out.hand_confidence, out.confidence.mean(-1))


def test_filters_keep_what_they_say():
    logits = torch.randn(2, 3, 100)
    for config, count in ((SamplingConfig(top_k=7), 7), (SamplingConfig(top_fraction=0.05), 5)):
        assert (filter_logits(logits, config).isfinite().sum(-1) == count).all()
    kept = filter_logits(logits, SamplingConfig(top_p=0.5)).isfinite()
    held = (logits.softmax(-1) * kept).sum(-1)
    assert (held >= 0.5).all() and (kept.sum(-1) < 100).all()
    assert (filter_logits(logits, SamplingConfig(top_p=1e-6)).isfinite().sum(-1) == 1).all()
    with pytest.raises(ValueError, match="top_p is 0"):
        SamplingConfig(top_p=0.0)


def test_a_generator_of_ones_own_gives_the_same_hand_in_any_batch():
    model, config = synthesizer(), SamplingConfig(num_steps=4, choice_noise=1.0)
    seeds = (3, 4, 5)

    def draw(chosen):
        generators = [torch.Generator().manual_seed(seed) for seed in chosen]
        rows = context(3).hidden[[seeds.index(seed) for seed in chosen]]
        condition = TokenContext(rows, torch.zeros(len(chosen), 5, dtype=torch.bool))
        return sample(lambda t: model(t, condition), len(chosen), LENGTH, model.mask_id, config, generators).tokens

    together = draw(seeds)
    assert not torch.equal(together[0], together[1])
    for i, seed in enumerate(seeds):
        assert torch.equal(draw([seed])[0], together[i])


def test_the_condition_and_the_unmasked_tokens_both_matter_and_padding_does_not():
    model, tokens = synthesizer(), torch.full((2, LENGTH), CODES)
    here = context(2)
    logits = model(tokens, here)
    assert logits.shape == (2, LENGTH, CODES)
    assert not torch.allclose(logits[0], logits[1])
    other = tokens.clone()
    other[:, 3] = 7
    assert (model(other, here) - logits).abs().max() > 1e-4
    absent = torch.zeros(2, 5, dtype=torch.bool)
    absent[:, 3:] = True
    padded = here.hidden.clone()
    padded[:, 3:] = 99.0
    short = TokenContext(here.hidden[:, :3], absent[:, :3])
    assert torch.allclose(model(tokens, TokenContext(padded, absent)), model(tokens, short), atol=1e-5)


def test_another_condition_is_another_module_and_2d_guides_are_more_nodes():
    class Map(nn.Module):
        """A condition of another kind: one vector per picture."""

        def forward(self, queries, condition):
            return condition[:, None].expand_as(queries)

    model = synthesizer(factory=Map, guides=21)
    logits = model(torch.full((2, LENGTH), CODES), torch.randn(2, 16), guide=torch.randn(2, 21, 16))
    assert logits.shape == (2, LENGTH, CODES)
    assert model.graph[0].adjacency.shape == (LENGTH + 21, LENGTH + 21)


def test_graph_block_learns_its_edges():
    torch.manual_seed(0)
    block = GraphBlock(6, 8, 2)
    block(torch.randn(2, 6, 8)).square().sum().backward()
    assert block.adjacency.grad.abs().sum() > 0
