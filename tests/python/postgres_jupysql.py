"""JupySQL: the magics of notebooks, run in an IPython shell."""

import os
import sys

os.environ["PLOOMBER_STATS_ENABLED"] = "false"

import pandas as pd  # noqa: E402
from IPython.core.interactiveshell import InteractiveShell  # noqa: E402

shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "sql")
for setting in ["feedback=0", "displaycon=False"]:
    shell.run_line_magic("config", f"SqlMagic.{setting}")


def sql(line, cell=None):
    if cell is None:
        return shell.run_line_magic("sql", line)
    return shell.run_cell_magic("sql", line, cell)


def command(line):
    return shell.run_line_magic("sqlcmd", line)


sql(f"postgresql+psycopg://somebody@{sys.argv[1]}/weir --alias weir")
sql("CREATE TABLE j (id BIGINT PRIMARY KEY, name TEXT, x DOUBLE PRECISION)")
sql("", "INSERT INTO j VALUES (1, 'a', 1.5),\n (2, 'b', 2.5), (3, 'b', 10)")
assert [tuple(row) for row in sql("SELECT * FROM j ORDER BY id")] == [(1, "a", 1.5), (2, "b", 2.5), (3, "b", 10.0)]
frame = sql("SELECT * FROM j ORDER BY id").DataFrame()
assert frame["x"].tolist() == [1.5, 2.5, 10.0]
sql("", "counted << SELECT count(*) AS n FROM j")
assert shell.user_ns["counted"][0][0] == 3
shell.user_ns["wanted"] = "b"
assert [row[0] for row in sql("SELECT id FROM j WHERE name = '{{wanted}}' ORDER BY id")] == [2, 3]
shell.run_line_magic("config", "SqlMagic.named_parameters='enabled'")
assert [row[0] for row in sql("SELECT id FROM j WHERE name = :wanted ORDER BY id")] == [2, 3]
shell.run_line_magic("config", "SqlMagic.named_parameters='disabled'")
# A query by its name, within another.
sql("--save large --no-execute", "SELECT * FROM j WHERE x > 2")
assert sql("--with large", "SELECT count(*) FROM large")[0][0] == 2
shell.run_line_magic("config", "SqlMagic.autopandas=True")
assert sql("SELECT name, sum(x) AS s FROM j GROUP BY name ORDER BY name")["s"].tolist() == [1.5, 12.5]
shell.run_line_magic("config", "SqlMagic.autopandas=False")
print("magics hold")

assert "j" in str(command("tables"))
columns = str(command("columns --table j"))
assert "BIGINT" in columns and "DOUBLE PRECISION" in columns, columns
profile = str(command("profile --table j"))
assert "4.6667" in profile and "10.0000" in profile, profile
assert command("test --table j --column x --greater 0") is True
shell.user_ns["frame"] = pd.DataFrame({"a": [1, 2]})
sql("--persist frame --no-index")
sql("--append frame --no-index")
assert sql("SELECT count(*), sum(a) FROM frame")[0] == (4, 6)
# What a box plot asks for.
asked = sql("SELECT percentile_disc(ARRAY[0.25, 0.50, 0.75]) WITHIN GROUP (ORDER BY \"x\" NULLS FIRST) AS p, avg(\"x\") AS mean FROM j")
assert asked[0][0] == [1.5, 2.5, 10.0], asked
print("commands hold")
print("jupysql holds")
