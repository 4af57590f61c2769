"""What `--help` says of each command: one screen of 40 lines and 100 columns, examples first."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from hf_privacy.attack_table import EXTRA_ATTACKS
from hf_privacy.defenses import DEFENSES
from hf_privacy.tasks import TASKS
from hf_privacy.unlearning import UNLEARNERS

WIDTH = 100

# Command: what its --help says first.
COMMANDS = {
    "demo": "Train, audit, report and (dry) push a small model: the whole way in minutes.",
    "init": "Write a commented recipe for a model and data, or a copy of a shipped one.",
    "keys": "List the keys of a recipe: kinds, defaults, meanings; or their JSON schema.",
    "train": "Train the recipe's model on the members of its split.",
    "unlearn": "Make the trained model forget some of its examples, and judge the result.",
    "audit": "Measure what the trained model leaks; writes privacy report and card.",
    "references": "Train an audit's reference models on many machines, by a plan.",
    "report": "Print a model's report, and draw its page, plots and card again.",
    "push": "Send weights, card and report to the Hub in one commit, after the gate.",
    "compare": "Train and audit several defences under several seeds; or draw results on one board.",
    "metrics": "List the evaluate modules, or push them to Spaces.",
    "env": "Print versions, device and whether the Hub answers, or what the cache holds.",
}


def _listed(what: str, names: Iterable[str], own: str = "class") -> str:
    return textwrap.fill(f"{what}: {', '.join(names)}, or a {own} of your own (my_package.module:Name).", WIDTH)


_KEYS = """\
Every key of the recipe can be set here, too, and wins over the file: --training.learning_rate 1e-3,
--output_dir runs/mine. `hf-privacy keys` lists them all.
"""

_DEFENSES = _listed("Its defense is one of these", DEFENSES)

MAIN = """\
examples:
  hf-privacy demo
  hf-privacy init --data my.csv --label kind --output my.yaml
  hf-privacy train --config my.yaml && hf-privacy audit --config my.yaml
  hf-privacy push --config my.yaml --repo-id you/model --dry-run
Figures go to standard output, errors and progress to standard error. --json prints one document
in place of text, --quiet nothing but errors. Exit codes: 0 done; 2 bad input, or a full disk; 3 the
gate refuses; 4 the Hub cannot be reached; 130 interrupted; 1 a defect of ours, with its traceback.
Shell completion: hf-privacy --print-completion bash (or zsh, fish) prints the script to source.
"""

EPILOGS = {
    "demo": """\
examples:
  hf-privacy demo                             (minutes on two cores; nothing is sent anywhere)
  hf-privacy demo --output-dir /tmp/demo
""",
    "init": f"""\
examples:
  hf-privacy init --data reviews.csv --label kind --defense dp --output reviews.yaml
  hf-privacy init --data stories.jsonl --model HuggingFaceTB/SmolLM2-135M --task causal-lm
  hf-privacy init --from sst2_lora            (a copy; without a name it lists what there is)
It looks at the data, and asks nothing that it can find: task, columns, classes, sizes. What it
writes trains as it stands; each key has its meaning beside it, and can be set here: --output_dir x.
{_listed("--defense is one of these", DEFENSES)}
""",
    "keys": """\
examples:
  hf-privacy keys                             (sections, defences and unlearners)
  hf-privacy keys data                        (a section; `keys dp`: what a defence adds)
  hf-privacy keys training.learning_rate
  hf-privacy keys --json-schema > recipe.schema.json
""",
    "train": f"""\
examples:
  hf-privacy train --config recipe.yaml --training.num_train_epochs 3
  hf-privacy train --data reviews.csv --label kind --output_dir runs/reviews
  accelerate launch -m hf_privacy.cli train --config recipe.yaml
Without a recipe, --data makes one as `hf-privacy init` does and keeps it as recipe.yaml in
output_dir; audit and push go on with --folder.
{_KEYS}Its task is one of {", ".join(TASKS)}.
{_DEFENSES}
--json: folder, trained (false: it was there), training_seconds, sizes, repeats, truncated, utility.
""",
    "audit": f"""\
examples:
  hf-privacy audit --config recipe.yaml      (with --model NAME: references for that model)
  hf-privacy audit --folder runs/mine --audit.depth quick --json > audit.json
  hf-privacy audit --model their_model --data rows.parquet --member-column trained_on
  hf-privacy audit --scores scores.csv --label kind --member-column trained_on
{_KEYS}{_listed("audit.extra_attacks are any of these", EXTRA_ATTACKS, "function")}
--json: the report as privacy_report.json has it, with verdict, headline and page (its path).
""",
    "references": """\
examples:
  hf-privacy references plan --config recipe.yaml --output runs/store/plan.json
  hf-privacy references run --plan runs/store/plan.json --rank 0 --world 4
  hf-privacy references status --plan runs/store/plan.json --json
  hf-privacy references collect --plan runs/store/plan.json --config recipe.yaml
`run` trains --ranks, or its share of --world, or of Slurm's, SkyPilot's or Ray's variables; after
`collect`, `hf-privacy audit` finds them. A plan and its store lie on a file system that the
machines share, or behind a URL: s3://bucket/run, hf://buckets/… See recipes/cluster/.
--json: references (how many), and done, failed, missing; of `run` asked, trained.
""",
    "unlearn": f"""\
examples:
  hf-privacy unlearn --config recipe.yaml --unlearning.method salun --unlearning.request.label 3
  hf-privacy unlearn --folder runs/mine --queue requests.jsonl
A request is one of rows, ids, label, where (one column and its value) and fraction. A queue has
one a line: {{"request_id": "r-17", "where": {{"person": "p3"}}}}. The result goes to
<output_dir>/unlearned/<method>; the trained model stays as it is.
{_KEYS}{_listed("Its method is retrain, or one of these", UNLEARNERS)}
--json: as of an audit, or with unlearning.audit none the key unlearning alone.
""",
    "report": f"""\
examples:
  hf-privacy report --folder runs/mine
  hf-privacy report --folder runs/mine --json | jq .verdict.level
  hf-privacy report --folder runs/mine --format dpia-md > paragraph.md
{_KEYS}--json: the report as privacy_report.json has it, with verdict and headline; nothing is written.
""",
    "push": f"""\
examples:
  hf-privacy push --config recipe.yaml --dry-run
  hf-privacy push --folder runs/mine --repo-id you/model --push.max_auc 0.6
The gate lets nothing out that has no report, or leaks more than the budget of the recipe's section
push (exit code 3); what is sent is one commit, to a private repository unless the recipe says else.
{_KEYS}--json: pushed, repo_id, url; of a dry run files, left_out, commit_message and so on.
""",
    "compare": f"""\
examples:
  hf-privacy compare --config comparison.yaml
  hf-privacy compare --config comparison.yaml --overrides.audit.references 8 --output_dir runs/mine
  hf-privacy compare --board runs/*/comparison.json --output board.html
A comparison is a YAML file with the keys recipe (the base recipe's file), defenses, seeds,
overrides, attacks and output_dir; see recipes/defenses/. Every key can be set here, too, and wins
over the file: --defenses.dp.training.target_epsilon 3. `hf-privacy keys compare` lists them.
{_listed("A defence is one of these by its name, unless its key defense says which", DEFENSES)}
--json: the table as comparison.json has it, with folder; of a board its rows and page.
""",
    "metrics": """\
examples:
  hf-privacy metrics list
  hf-privacy metrics push lira rmia --namespace you --dry-run
--json: metrics (name, description); of `push` pushed and spaces (repo_id, url, revision, files).
""",
    "env": """\
examples:
  hf-privacy env                              (for a bug report: neither token nor path)
  hf-privacy env --json | jq .hub.state       (online, offline or unreachable)
  hf-privacy env --cache --clear
--json: versions, platform, devices, threads, hub; of --cache folder, bytes, limit_bytes, entries.
""",
}
