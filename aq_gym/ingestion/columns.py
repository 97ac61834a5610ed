"""What the columns of a sheet hold: times, stations, readings, and in which unit."""

import re

from aq_gym.ingestion.sheet import STATION_WORDS, TIME_WORDS, Sheet, normalised
from aq_gym.ingestion.times import COUNTERS
from aq_gym.tables import is_epoch, is_missing, is_number, is_time

VALUES = ("value", "reading", "concentration", "samplemeasurement", "measurement")
PARAMETERS = ("parameter", "parametername", "pollutant", "airpollutant", "type")
UNITS = ("unit", "units", "unitsofmeasure", "unitofmeasurement")
PM25 = ("pm25", "pm25localconditions", "88101")
MASS = ("ugm3", "\u03bcgm3", "microgramscubicmeter", "microgramspercubicmeter")  # the letter mu, as normalised
_DERIVED = {"aqi", "index", "flag", "status", "valid", "24h", "count"}  # words of a name that is no reading's
_OTHERS = {
    *("pm1", "pm10", "no2", "nox", "so2", "o3", "ozone", "co2", "aqi"),
    *("temp", "temperature", "humidity", "rh", "pressure", "windspeed", "winddirection"),
    *("lat", "latitude", "lon", "longitude"),
}  # no station has such a name
_ESTIMATE = re.compile(r"pm25(cf1|cfatm|atm|alt|raw|corrected|\d+(minute|hour|day|week))[ab]?(ugm3)?$")
_WORD = re.compile(r"24h|[A-Z]?[a-z]+|[A-Z]+")
_ENDINGS = re.compile(r"(\.(csv|tsv|txt|dat|parquet|gz))+$", re.IGNORECASE)
_BRACKETS = re.compile(r"\s*[(\[]([^()\[\]]*)[)\]]")
_OTHER_UNIT = re.compile(r"([mnk]|^)gm3$|^pp[bmt]v?$|^(milli|nano)gram\w*$|^(us)?aqi$")


def time_columns(sheet: Sheet) -> list[int]:
    """The column of times, or those of date and clock; none where the rows carry no times.

    Columns with a known name come first, of these UTC before local time; then those that hold times; then those that
    hold seconds since 1970.

    Raises:
        ValueError: several columns of unknown names hold times.
    """
    first = [next((row[k] for _, row in sheet.rows if not is_missing(row[k])), "") for k in range(sheet.width)]
    if not sheet.header:
        return [0] if first and is_time(first[0]) else []
    names = sheet.names
    if {"year", "month", "day"} <= set(names):
        return [names.index(word) for word in ("year", "month", "day", "hour", "minute", "second") if word in names]
    holds_times = [is_time(cell) or is_epoch(cell) for cell in first]

    def rank(k: int) -> tuple[int, bool]:
        known = names[k] in TIME_WORDS and (holds_times[k] or names[k] not in COUNTERS)
        kind = 0 if known else 1 if is_time(first[k]) else 2 if is_epoch(first[k]) else 3
        return kind, "utc" not in names[k]

    found = sorted((k for k, name in enumerate(names) if name in TIME_WORDS or holds_times[k]), key=rank)
    dated = [k for k in found if _is_date(first[k])]
    # a clock such as `1:00` or `01:00:00 PM`, or the hour alone
    clocks = [k for k in found if k not in dated and len(first[k]) <= 11 and names[k] not in ("day", "days")]
    clocks = [k for k in clocks if ":" in first[k][:3] or (names[k] in COUNTERS and len(first[k]) <= 2)]
    if dated and clocks:
        return [dated[0], clocks[0]]
    if len(found) > 1 and not any(name in TIME_WORDS for name in names) and is_time(first[found[1]]):
        one, other = (sheet.header[k] for k in found[:2])
        raise ValueError(
            f"{sheet.path}, row 1: {one!r} and {other!r} both hold times; call the one that counts `time`, or delete "
            "the other"
        )
    return found[:1]


def _is_date(cell: str) -> bool:
    """Whether a cell holds a date without a clock."""
    return len(cell) <= 10 and ":" not in cell and (is_time(cell) or (len(cell) == 8 and cell.isdigit()))


def value_columns(sheet: Sheet, parameter: str) -> list[int]:
    """The column called `value` or the like, else those named after what was measured, such as `PM2.5`."""
    names = [_plain(name) for name in sheet.header]
    found = next(([names.index(word)] for word in VALUES if word in names), [])
    if found:
        return found
    wanted = normalised(parameter)
    if wanted not in PM25:
        return [k for k, name in enumerate(names) if name == wanted]
    found = [k for k, name in enumerate(sheet.header) if "pm25" in normalised(name) and not _is_derived(name)]
    return [k for k in found if names[k] == "pm25"] or found


def _is_derived(name: str) -> bool:
    """Whether a name tells something about readings, such as `PM2.5 AQI`, and not a reading."""
    return bool(_DERIVED & {word.lower() for word in _WORD.findall(name)})


def _is_other(name: str) -> bool:
    """Whether a name tells something else than PM2.5 or a station: `PM10`, `PM10 East`, `status`."""
    return _is_derived(name) or bool(_OTHERS & {_plain(name), normalised(re.split(r"[\s_]", name)[0])})


def _plain(name: str) -> str:
    """A name without what stands in brackets, normalised."""
    return normalised(_BRACKETS.sub("", name))


def reading_columns(sheet: Sheet, aside: set[int | None], parameter: str) -> tuple[list[int], list[str]]:
    """The columns of readings where each row is a time, and the stations' names; `aside`: what holds other things.

    Where columns are named after what was measured, the others hold something else.

    Raises:
        ValueError: no column of readings, one that holds words or is named as no station is, one that may be a
            station or not, or several with estimates of the same readings.
    """
    columns, own = [k for k in range(sheet.width) if k not in aside], value_columns(sheet, parameter)
    if not columns:
        raise ValueError(f"{sheet.path}, row 1: no column beside the time; give each station a column")
    if not sheet.header:
        return columns, [str(n) for n in range(len(columns))]
    station = sheet.column_of(STATION_WORDS)
    if station is not None and station in columns and len(columns) > 1:
        if own:  # with times it would be a long table
            raise ValueError(
                f"{sheet.path}, row 1: {sheet.header[station]!r} names the stations, so every row is one reading, but "
                "no column says when it was made; add its time, in a column called `time`"
            )
        raise ValueError(
            f"{sheet.path}, row 1: {sheet.header[station]!r} names the stations, but which column holds their "
            "readings cannot be told; call it `value` or `PM2.5`"
        )
    _check_estimates(sheet, own)
    for k in columns:
        _check_column(sheet, k, readings_are_named=bool(own))
    strangers = [k for k in columns if k not in own and not _is_other(sheet.header[k])]
    if own and strangers and _plain(sheet.header[own[0]]) not in (*PM25, normalised(parameter)):
        raise ValueError(
            f"{sheet.path}, row 1, column {strangers[0] + 1}: whether {sheet.header[strangers[0]]!r} is a station "
            f"beside {sheet.header[own[0]]!r} cannot be told; if it is, name both alike (`PM2.5 East`, "
            "`PM2.5 West`), else delete it or call the readings `PM2.5`"
        )
    if len(own) == 1:
        return own, [_ENDINGS.sub("", sheet.path.name)]  # one file per station
    return own or columns, _station_names(sheet, own or columns)


def _check_estimates(sheet: Sheet, columns: list[int]) -> None:
    """Refuse several estimates of one sensor's readings, such as `pm2.5_atm` and `pm2.5_cf_1`, as stations."""
    first: dict[str, str] = {}  # what stands before `pm2.5_atm` or the like, a sensor's name or nothing -> the column
    for name in (sheet.header[k] for k in columns):
        if found := _ESTIMATE.search(normalised(name)):
            other = first.setdefault(found.string[: found.start()], name)
            if other != name:
                way = "delete all but one of each sensor"
                if not found.start():
                    way = f"choose one of them as the parameter (--parameter {other!r}), or call it `PM2.5`"
                raise ValueError(
                    f"{sheet.path}, row 1: {other!r} and {name!r} are estimates of the same readings, not two "
                    f"stations; {way}"
                )


def _check_column(sheet: Sheet, column: int, readings_are_named: bool) -> None:
    """Refuse a column that cannot be a station: one of words, or one called `PM10` or the like.

    Where other columns are named as readings (`PM2.5 ...`), a column `PM10`, or one of words called `status` or the
    like, is passed over instead.
    """
    name = sheet.header[column]
    derived = _is_derived(name)
    first = next((row[column] for _, row in sheet.rows if not is_missing(row[column])), "").strip()
    words = first[:1].isalpha() and not any(is_number(row[column]) for _, row in sheet.rows)
    if words and not (readings_are_named and derived):
        raise ValueError(
            f"{sheet.path}, row 1, column {column + 1}: {name!r} holds words such as {first[:30]!r}; where there is a "
            "row a reading, call the columns `station`, `time` and `value` (or `PM2.5`), else delete this one"
        )
    if not readings_are_named and (_plain(name) in _OTHERS or ("pm25" in normalised(name) and derived)):
        raise ValueError(
            f"{sheet.path}, row 1, column {column + 1}: {name!r} is no station; delete the column, or call the one "
            "with the readings `PM2.5`"
        )


def _station_names(sheet: Sheet, columns: list[int]) -> list[str]:
    """The header's names, without the unit of the readings."""
    names = [_own_unit_off(sheet.header[k]) for k in columns]
    for k, name in zip(columns, names, strict=True):
        if not name or names.index(name) != columns.index(k):
            what = "has no name (if it numbers the rows, delete it)" if not name else f"is named {name!r} like another"
            raise ValueError(f"{sheet.path}, row 1, column {k + 1}: it {what}; name each station once")
    return names


def _own_unit_off(name: str) -> str:
    """`East (µg/m³)` is `East`."""
    found = _BRACKETS.search(name)
    return _BRACKETS.sub("", name).strip() if found and normalised(found[1]) in MASS else name


def check_unit(sheet: Sheet, column: int) -> None:
    """Refuse a column of readings whose name, or the row of units below it, tells another unit than µg/m³."""
    if not sheet.header:
        return
    name = sheet.header[column]
    for text in (*_BRACKETS.findall(name), *sheet.units[column : column + 1], name):
        if _OTHER_UNIT.search(normalised(text)):
            raise ValueError(
                f"{sheet.path}, row 1, column {column + 1}: {name!r} is in another unit ({text}) than µg/m³; convert "
                "the values and change the unit there"
            )
