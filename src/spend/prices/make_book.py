"""Makes book.csv, the compiled-in price book, from bedrock_prices.csv.

The input is second-hand data in US dollars per million tokens. The book holds the same as whole picodollars (1e-12 USD)
per token, sorted, one row for each endpoint, id and region. Every cell is checked; a blank rate is unknown, never 0.
Rows that no Bedrock call can name are left out, each with its reason on standard output.

    python3 make_book.py            writes book.csv
    python3 make_book.py --check    writes nothing; exits 1 if book.csv is not what would be written
"""

import csv
import datetime
import io
import re
import sys
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).resolve().parent
INPUT = HERE / "bedrock_prices.csv"
BOOK = HERE / "book.csv"

STANDARD = ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h"]
PAIRS = [(f"{tier}_input", f"{tier}_output") for tier in ("batch", "flex", "priority")]
RATES = STANDARD + [name for pair in PAIRS for name in pair]
INPUT_COLUMNS = ["model_id", "endpoint", "region", "scope", "mode", *RATES, "long_context", "source", "as_of", "note"]
BOOK_COLUMNS = [name for name in INPUT_COLUMNS if name != "scope"]

ENDPOINTS = {"bedrock-runtime", "bedrock-mantle"}
MODES = {"chat", "embedding", "realtime", "rerank", "responses"}
GEOGRAPHIES = {"apac", "au", "ca", "eu", "global", "in", "jp", "us", "us-gov"}

NUMBER = re.compile(r"\d{1,6}(\.\d{1,12})?")
REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d+")
# [geography.]provider.name, as src/aws/model_id.rs takes it apart; a letter more or less makes it somebody else's id.
MODEL_ID = re.compile(r"(?:([a-z]{2}|apac|global|us-gov)\.)?[a-z][a-z0-9-]{2,}\.[A-Za-z0-9][A-Za-z0-9._:-]*")

# What the input does not say of itself: the calls are billed by another unit as well, for which it lists no price.
SPEECH = "text rate only: speech tokens have another rate, which is not listed"
OTHER_UNITS = "text rate only: images, audio and video are billed by other units, which are not listed"
MULTIMODAL = {"amazon.titan-embed-image-v1", "amazon.nova-2-multimodal-embeddings-v1:0"}


class Wrong(Exception):
    """A cell that cannot be right."""


def picodollars_per_token(text):
    """A rate in whole picodollars per token; `None` for a blank."""
    if text == "":
        return None
    if not NUMBER.fullmatch(text):
        raise Wrong(f"{text!r} is not a decimal number of US dollars per million tokens")
    rate = Decimal(text) * 1_000_000
    if rate != rate.to_integral_value():
        raise Wrong(f"{text} USD per million tokens is no whole number of picodollars per token")
    return int(rate)


def no_bedrock_id(model_id):
    """Why no call to Bedrock names this id; `None` if one may."""
    if "/" in model_id:
        return "a path is no model id"
    if "@" in model_id:
        return "a version behind @ is another vendor's spelling"
    if "." not in re.sub(r"-v?\d.*", "", model_id):
        return "an id without provider"
    if not MODEL_ID.fullmatch(model_id):
        raise Wrong(f"{model_id!r} is no model id")
    return None


def check_scope(row):
    geography = row["model_id"].partition(".")[0]
    geography = geography if geography in GEOGRAPHIES else None
    expected = geography or ("region" if row["region"] else "in-region")
    if row["scope"] != expected:
        raise Wrong(f"scope {row['scope']!r} does not fit the id and the region: expected {expected!r}")
    if geography and row["region"]:
        raise Wrong("an inference profile with a region")


def one_of(row, column, allowed):
    if row[column] not in allowed:
        raise Wrong(f"{column} {row[column]!r} is none of: {', '.join(sorted(allowed))}")


def meaningful(row, rates):
    """Takes out the rates that say nothing about the price of a token."""
    if row["mode"] == "rerank" and rates["input"] == rates["output"] == 0:
        # Billed by query.
        rates["input"] = rates["output"] = None
    if row["mode"] == "embedding" and rates["input"] is None and rates["output"] == 0:
        # Billed by second or image: that nothing is generated costs nothing, and nothing else is known.
        rates["output"] = None
    zero = [name for name in RATES if rates[name] == 0]
    if zero and (zero != ["output"] or row["mode"] != "embedding"):
        raise Wrong(f"{', '.join(zero)}: a rate of 0 in mode {row['mode']}; only an embedding's output costs nothing")


def check_rates(rates):
    known = [name for name in RATES if rates[name] is not None]
    for a, b in PAIRS:
        if (rates[a] is None) != (rates[b] is None):
            raise Wrong(f"{a} and {b}: one is given without the other")
    if rates["input"] is None and any(name != "output" for name in known):
        raise Wrong("rates without an input rate")
    if rates["output"] is None and known:
        raise Wrong("rates without an output rate")


def convert(row):
    """One row of the book."""
    one_of(row, "endpoint", ENDPOINTS)
    one_of(row, "mode", MODES)
    one_of(row, "long_context", {"", "yes"})
    if row["region"] and not REGION.fullmatch(row["region"]):
        raise Wrong(f"region {row['region']!r}")
    check_scope(row)
    datetime.date.fromisoformat(row["as_of"])
    for column in ("source", "note"):
        if not row[column].isprintable() or not row[column].isascii():
            raise Wrong(f"{column} {row[column]!r}")
    if not row["source"]:
        raise Wrong("no source")
    rates = {name: picodollars_per_token(row[name]) for name in RATES}
    meaningful(row, rates)
    check_rates(rates)
    notes = [row["note"]] if row["note"] else []
    if row["mode"] == "realtime":
        notes.append(SPEECH)
    if row["model_id"] in MULTIMODAL:
        notes.append(OTHER_UNITS)
    kept = {name: row[name] for name in BOOK_COLUMNS}
    return kept | {name: "" if rate is None else str(rate) for name, rate in rates.items()} | {"note": "; ".join(notes)}


def merge(a, b):
    """One row of two for the same key: what one leaves blank the other may tell, but they must not disagree."""
    merged = {}
    for column in BOOK_COLUMNS:
        if a[column] and b[column] and a[column] != b[column]:
            raise Wrong(f"listed twice with {column} {a[column]!r} and {b[column]!r}")
        merged[column] = a[column] or b[column]
    return merged


def base(row):
    """The id without its geography."""
    first, _, rest = row["model_id"].partition(".")
    return rest if first in GEOGRAPHIES else row["model_id"]


def spread_long_context(rows):
    """A long-context band belongs to the model: where one of its rows has it, a row that is silent cannot be trusted."""
    models = {base(row) for row in rows if row["long_context"]}
    for row in rows:
        if base(row) in models and not row["long_context"]:
            row["long_context"] = "yes"
            place = f" in {row['region']}" if row["region"] else ""
            yield f"long context taken from its model's other rows: {row['model_id']}{place} ({row['endpoint']})"


def key(row):
    return (row["endpoint"], row["model_id"], row["region"])


def make(text):
    """The text of the book, and what was left out and why."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if reader.fieldnames != INPUT_COLUMNS:
        sys.exit(f"{INPUT.name}: the columns are {reader.fieldnames}, expected {INPUT_COLUMNS}")
    rows, remarks = {}, []
    for row in reader:
        where = f"{INPUT.name}:{reader.line_num}"
        try:
            if None in row or None in row.values():
                raise Wrong("too many or too few cells")
            model_id = row["model_id"]
            if reason := no_bedrock_id(model_id):
                place = f" in {row['region']}" if row["region"] else ""
                remarks.append(f"{where}: left out {model_id}{place}: {reason}")
                continue
            made = convert(row)
            if key(made) in rows:
                made = merge(rows[key(made)], made)
                remarks.append(f"{where}: merged {model_id}, which is listed twice")
            rows[key(made)] = made
        except (Wrong, ValueError) as wrong:
            sys.exit(f"{where}: {row.get('model_id')}: {wrong}")
    if not rows:
        sys.exit(f"{INPUT.name}: no rows")
    remarks += spread_long_context([rows[at] for at in sorted(rows)])
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, BOOK_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[at] for at in sorted(rows))
    return out.getvalue(), remarks, len(rows)


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    book, remarks, count = make(INPUT.read_text(encoding="utf-8"))
    print(*remarks, sep="\n")
    if sys.argv[1:]:
        if not BOOK.exists() or BOOK.read_text(encoding="utf-8") != book:
            sys.exit(f"{BOOK.name} is not what {Path(__file__).name} makes of {INPUT.name}: run it without --check")
        print(f"{BOOK.name}: {count} rows, as made from {INPUT.name}")
    else:
        BOOK.write_text(book, encoding="utf-8", newline="\n")
        print(f"{BOOK.name}: {count} rows written")


main()
