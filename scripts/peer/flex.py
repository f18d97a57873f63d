"""PyTorch's FlexAttention, compiled for the processor: a case as mask_mod, score_mod and BlockMask.

Its kernels for the processor have a forward pass only and keep their log-sum-exp to themselves, so
that a sink is a key of its own here: a row of zeros behind the others, whose score is the sink.
Block masks and that row are made, and everything is compiled, before anything is timed.
"""

import dataclasses
import typing

import torch
from library import Job
from sampling import Unsupported, require_memory

try:
    from torch.compiler import set_stance
    from torch.nn.attention.flex_attention import and_masks, create_block_mask, flex_attention
except ImportError:  # before 2.6
    flex_attention = None

NAME = "flex_attention"
BLOCK = 128  # queries and keys of a block, but for pages


def refuse(case, device):
    """Raises Unsupported for what FlexAttention cannot do."""
    if flex_attention is None:
        raise Unsupported(f"PyTorch {torch.__version__} has no FlexAttention; 2.6 has")
    if device != "cpu":
        raise Unsupported("FlexAttention is measured on the processor only")
    if case["pass"] != "forward":
        raise Unsupported("PyTorch's FlexAttention has no backward pass on the processor")
    if case.get("in_place") and (case["page_size"] or case["sinks"] != "none"):
        raise Unsupported("FlexAttention gets pages and sinks by a copy of K and V, which nobody times")


@dataclasses.dataclass
class Rows:
    """Which key a row of k and v in memory holds. These are traced: their tensors are captured."""

    count: int  # of rows
    sequence: typing.Callable  # (b, q): whose a query is
    own: typing.Callable  # (b, q): the number of the key that it is aligned with
    key: typing.Callable  # (b, q, row): the number of the key there
    there: typing.Callable | None = None  # (b, h, q, row): whether it is one of that sequence's
    block: int = BLOCK  # of rows
    by_batch: bool = False  # whether `there` differs between batch elements


def plain(case):
    offset = case["kv_len"] - case["q_len"]
    return Rows(
        count=case["kv_len"],
        sequence=lambda b, q: b,
        own=lambda b, q: q + offset,
        key=lambda b, q, row: row,
    )


def numbers_of(ends):
    """Of each packed row, the number of its sequence."""
    return torch.repeat_interleave(torch.arange(len(ends) - 1), ends.diff())


def packed(tensors):
    """Sequences one behind the other; keys are numbered through, which no distance sees."""
    queries, keys = (tensors[f"cu_seqlens_{side}"].long() for side in "qk")
    of_query, of_key = numbers_of(queries), numbers_of(keys)
    shift = (keys[1:] - queries[1:])[of_query]  # the last query sees the last key
    count = len(of_key)
    of_key = torch.nn.functional.pad(of_key, (0, 1), value=-1)  # a sink
    return Rows(
        count=count,
        sequence=lambda b, q: of_query[q],
        own=lambda b, q: q + shift[q],
        key=lambda b, q, row: row,
        there=lambda b, h, q, row: of_query[q] == of_key[row],
    )


def paged(case, tensors):
    """Pages of a pool, one of them a block, as PyTorch's PagedAttention has it."""
    size, pages = case["page_size"], len(tensors["k_pages"])
    table, lengths = tensors["block_table"].long(), tensors["kv_lens"].long()
    number = torch.zeros(len(table), pages + 1, dtype=torch.long)  # within its sequence
    holds = torch.zeros_like(number)  # rows, of that sequence; one page more for a sink
    for s, length in enumerate(lengths.tolist()):
        for i, page in enumerate(table[s, : -(-length // size)].tolist()):
            number[s, page], holds[s, page] = i, min(size, length - i * size)
    if "cu_seqlens_q" in tensors:
        queries = tensors["cu_seqlens_q"].long()
        of_query = numbers_of(queries)
        shift = (lengths - queries[1:])[of_query]
        sequence = lambda b, q: of_query[q]  # noqa: E731
        own = lambda b, q: q + shift[q]  # noqa: E731
    else:
        offsets = lengths - case["q_len"]
        sequence = lambda b, q: b  # noqa: E731
        own = lambda b, q: q + offsets[b]  # noqa: E731
    return Rows(
        count=pages * size,
        sequence=sequence,
        own=own,
        key=lambda b, q, row: number[sequence(b, q), row // size] * size + row % size,
        there=lambda b, h, q, row: row % size < holds[sequence(b, q), row // size],
        block=size,
        by_batch=True,
    )


def pool(pages, tensors):
    """[1, h_kv, rows, d]. A hidden value is multiplied by 0, so that rows without a key have to be
    finite, as those of a cache that was cleared are."""
    size = pages.shape[1]
    used = torch.zeros(pages.shape[:2], dtype=torch.bool)
    for table, length in zip(tensors["block_table"].tolist(), tensors["kv_lens"].tolist()):
        for i, page in enumerate(table[: -(-length // size)]):
            used[page, : length - i * size] = True
    return pages.where(used[:, :, None, None], 0).flatten(0, 1).transpose(0, 1)[None]


def window(left, right, rows):
    """mask_mods of a window; None: unbounded."""
    masks = []
    if left is not None:
        masks.append(lambda b, h, q, row: rows.key(b, q, row) >= rows.own(b, q) - left)
    if right is not None:
        masks.append(lambda b, h, q, row: rows.key(b, q, row) <= rows.own(b, q) + right)
    return masks


def mask_mod(case, rows, tensors):
    """Who sees whom; None: everyone everyone."""
    masks = [rows.there] if rows.there else []
    masks += window(case["window_left"], 0 if case["causal"] else case["window_right"], rows)
    if "mask" in tensors:
        keep = beyond_keys(tensors["mask"].bool(), rows)
        masks.append(lambda b, h, q, row: keep[b, rows.key(b, q, row)])
    if not masks:
        return None
    seen = and_masks(*masks)
    if "sinks" not in tensors:
        return seen
    sink = rows.count
    return lambda b, h, q, row: (row == sink) | seen(b, h, q, row)


def score_mod(case, rows, tensors):
    """What becomes of a scaled score, in flashbench's order; None: nothing."""
    steps = []
    if cap := case["softcap"]:
        steps.append(lambda score, b, h, q, row: cap * torch.tanh(score / cap))
    if "alibi_slopes" in tensors:
        steps.append(alibi(tensors["alibi_slopes"], rows))
    if "bias" in tensors:
        steps.append(bias(tensors["bias"], rows))
    if "sinks" in tensors:
        sinks, sink = tensors["sinks"], rows.count
        steps.append(lambda score, b, h, q, row: torch.where(row == sink, sinks[h], score))
    if not steps:
        return None

    def modified(score, b, h, q, row):
        for step in steps:
            score = step(score, b, h, q, row)
        return score

    return modified


def alibi(slopes, rows):
    def step(score, b, h, q, row):
        distance = (rows.own(b, q) - rows.key(b, q, row)).abs()
        return score - slopes[rows.sequence(b, q), h] * distance

    return step


def beyond_keys(x, rows):
    """Rows of pages that hold no key, and a sink, are read beyond the last one, and hidden."""
    return torch.nn.functional.pad(x, (0, rows.block))


def bias(added, rows):
    added = beyond_keys(added, rows)
    one_batch, one_head = (n == 1 for n in added.shape[:2])

    def step(score, b, h, q, row):
        return score + added[0 if one_batch else b, 0 if one_head else h, q, rows.key(b, q, row)]

    return step


class Flex(Job):
    """One call of flex_attention, compiled for this case."""

    kernel = NAME

    def __init__(self, case, tensors):
        self.ragged = case["ragged"] != "none"
        if case["page_size"]:
            rows = paged(case, tensors)
            kept = [pool(tensors[f"{name}_pages"], tensors) for name in "kv"]
        else:
            rows = packed(tensors) if self.ragged else plain(case)
            kept = [self.batched(tensors[name]) for name in "kv"]
        if "sinks" in tensors:  # with pages, one of them
            more = rows.block if case["page_size"] else 1
            kept = [torch.nn.functional.pad(x, (0, 0, 0, more)) for x in kept]
        self.q, (self.k, self.v) = self.batched(tensors["q"]), kept
        self.options = {
            "score_mod": score_mod(case, rows, tensors),
            "block_mask": self.block_mask(mask_mod(case, rows, tensors), rows, tensors),
            "scale": case["scale"],
            "enable_gqa": case["h"] != case["h_kv"],
        }
        self.attend = self.o = None

    def batched(self, x):
        """[b, h, length, d] of what is packed as [total, h, d]."""
        return x.transpose(0, 1)[None] if self.ragged else x

    def block_mask(self, seen, rows, tensors):
        if seen is None:
            return None
        batch = self.q.shape[0] if rows.by_batch or "mask" in tensors else None
        q_len, kv_len = self.q.shape[2], self.k.shape[2]
        wide = 40 if rows.by_batch and self.ragged else 8  # bytes a pair, while it is made
        require_memory(wide * (batch or 1) * q_len * kv_len)
        blocks = (BLOCK, rows.block)
        return create_block_mask(seen, batch, None, q_len, kv_len, device="cpu", BLOCK_SIZE=blocks)

    def begin(self):
        """Compiles; from here on it is an error if PyTorch wants to compile again."""
        torch._dynamo.reset()  # which otherwise gives up compiling after a few cases
        set_stance("default")
        self.attend = torch.compile(flex_attention, fullgraph=True, dynamic=False)
        try:
            self.call()
        except (torch._dynamo.exc.TorchDynamoException, NotImplementedError, ValueError) as error:
            raise Unsupported(f"PyTorch cannot compile FlexAttention: {said(error)}") from None
        set_stance("fail_on_recompile")
        return self

    def call(self):
        with torch.inference_mode():
            self.o = self.attend(self.q, self.k, self.v, **self.options)

    def results(self):
        return {"o": self.o[0].transpose(0, 1) if self.ragged else self.o}


def said(error):
    """A compiler's error in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0].removeprefix("LoweringException: ") if lines else type(error).__name__
    if "C++ compiler" in text:
        text += "; install g++, or name a compiler in $CXX"
    return text
