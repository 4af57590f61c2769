"""What defences cost and bring in the tables that the recipes commit; a test holds these figures to those tables."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Price:
    """One defence of a table, means over its seeds.

    Attributes
    ----------
    defense, title : str
        As a recipe names it, and as the table does.
    found : float
        Largest mean share of training records that any attack finds at 1 % false positives.
    worth : float
        Accuracy on non-members, or perplexity.
    """

    defense: str
    title: str
    found: float
    worth: float


@dataclass(frozen=True)
class PriceTable:
    """A table's baseline, and its defences that a reader might take, the cheapest first.

    Attributes
    ----------
    name, result : str
        What the table is on, and its file below ``recipes/``.
    undefended : Price
    defended : tuple of Price
    worth : "accuracy" or "perplexity"
    """

    name: str
    result: str
    undefended: Price
    defended: tuple[Price, ...]
    worth: str = "accuracy"

    def cost(self, price: Price) -> str:
        """What a defence cost, in words."""
        if self.worth == "accuracy":
            return f"{100 * (self.undefended.worth - price.worth):.1f} points of accuracy"
        return f"a perplexity of {price.worth:.1f} in place of {self.undefended.worth:.1f}"


# By task.
PRICES = {
    "tabular-classification": PriceTable(
        "location30",
        "defenses/location30_result.json",
        Price("none", "undefended", 0.377, 0.665),
        (Price("ccl", "CCL", 0.151, 0.651), Price("dp_8", "DP-SGD, ε = 8", 0.034, 0.446)),
    ),
    "image-classification": PriceTable(
        "2,000 images of CIFAR-10",
        "defenses/cifar10_small_result.json",
        Price("none", "undefended", 0.165, 0.432),
        (Price("relax_loss", "RelaxLoss", 0.092, 0.396), Price("cwrf", "CWRF", 0.093, 0.397)),
    ),
    "causal-lm": PriceTable(
        "TOFU by author",
        "causal_lm/defenses/tofu_result.json",
        Price("none", "undefended", 1.0, 28.6),
        (Price("dp_8", "DP, ε = 8, row", 0.533, 39.2), Price("dp_8_author", "DP, ε = 8, author", 0.017, 52.5)),
        worth="perplexity",
    ),
}

# Tasks without a table, and the shipped comparison that would make one.
UNMEASURED = {"text-classification": "sst2_defenses"}


def price_sentences(task: str | None) -> list[str]:
    """Say which defence to take and what it cost in our own table of the task.

    Examples
    --------
    >>> price_sentences("text-classification")[0]
    'Train with a defence, such as `defense: dp`, which alone gives a guarantee. Nobody has measured for us at what
    price for this task: `hf-privacy compare` does, and `hf-privacy init --from sst2_defenses` copies a comparison to
    start from.'
    """
    table = PRICES.get(task or "")
    if table is None:
        start = UNMEASURED.get(task or "", "cifar10_small")
        return [
            "Train with a defence, such as `defense: dp`, which alone gives a guarantee. Nobody has measured for us "
            f"at what price for this task: `hf-privacy compare` does, and `hf-privacy init --from {start}` copies a "
            "comparison to start from."
        ]
    base = table.undefended
    offers = [
        f"{price.title} took it to {100 * price.found:.1f} % for {table.cost(price)}" for price in table.defended
    ]
    guarantee = (
        "" if any(price.defense.startswith("dp") for price in table.defended) else "; only DP gives a guarantee"
    )
    return [
        f"Train with a defence. In our table on {table.name} attacks found {100 * base.found:.1f} % of the training "
        f"records at 1 % false positives without one; {'; '.join(offers)}{guarantee}. Yours may differ: compare with "
        "`hf-privacy compare`."
    ]
