# SPDX-License-Identifier: MIT
"""test_report.py - the page about benchmarks: whatever they are, however they end."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

REPORT = pathlib.Path(__file__).with_name("report")
SVG = "{http://www.w3.org/2000/svg}"


def result_of(**more):
    result = {
        "benchmark": "thing", "title": "How things are", "smoke": False, "seconds": 1.0,
        "machine": {"cpu": "A CPU", "virtual": False}, "notes": ["Placement: nowhere."],
        "rows": [{"place": "here", "x": x, "us": 2.0 * x, "us_low": 1.5 * x, "us_high": 3.0 * x} for x in (1, 10, 100)]
                + [{"place": "there <&>", "x": x, "us": 3.0 * x, "us_low": 2.0, "us_high": 400.0} for x in (1, 10)]
                + [{"kind": "other", "figure": 12345.6}],
        "targets": [
            {"name": "good", "measured": 1.5, "bound": 1.0, "op": ">=", "holds": True},
            {"name": "bad", "measured": 0.5, "bound": 1.0, "op": ">=", "holds": False},
            {"name": "unknown", "measured": None, "bound": 1.0, "op": ">=", "holds": None},
        ],
    }
    return {**result, **more}


class ReportTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="npumm-report-")
        self.addCleanup(temporary.cleanup)
        self.build = pathlib.Path(temporary.name) / "build"
        self.folder = pathlib.Path(temporary.name) / "out" / "page"
        (self.build / "tests" / "bench" / "more").mkdir(parents=True)

    def add(self, name, result, script=None):
        """A benchmark that says this, in either folder that one may be in."""
        path = self.build / "tests" / "bench" / name
        path.with_name(path.name + ".json").write_text(json.dumps(result), encoding="utf-8")
        path.write_text(script or f'#!/bin/sh\necho "$@" >"$0.args"\ncat "{path}.json"\n', encoding="utf-8")
        path.chmod(0o755)
        return path

    def run_report(self, *arguments, status=0):
        done = subprocess.run([sys.executable, str(REPORT), f"--build={self.build}", *arguments, str(self.folder)],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def page(self):
        return (self.folder / "report.md").read_text(encoding="utf-8")

    def svgs(self):
        return {path.name: xml.etree.ElementTree.parse(path).getroot() for path in sorted(self.folder.glob("*.svg"))}

    def test_targets_and_tables(self):
        self.add("bench-thing", result_of())
        self.run_report()
        page = self.page()
        self.assertIn("| thing | good | 1.5 | ≥ 1 | holds |", page)
        self.assertIn("| thing | bad | 0.5 | ≥ 1 | **missed** |", page)
        self.assertIn("| thing | unknown | - | ≥ 1 | not measured |", page)
        self.assertIn("| place | x | us |\n|---|---|---|\n| here | 1 | 2 [1.5, 3] |", page)
        self.assertIn("| kind | figure |\n|---|---|\n| other | 12,346 |", page)
        for text in ("A CPU", "Placement: nowhere.", "bench-thing --json", "commit "):
            self.assertIn(text, page)
        self.assertEqual(json.loads((self.folder / "thing.json").read_text(encoding="utf-8")), result_of())

    def test_charts(self):
        line = {"title": "Lines", "x": "x", "y": "us", "by": "place", "log_x": True, "log_y": True,
                "x_label": "things", "y_label": "microseconds"}
        bar = {"title": "Bars", "kind": "bar", "x": "x", "y": "us", "split": "place", "y_label": "µs"}
        some = {"title": "Some", "x": "x", "y": "us", "where": {"place": "here"}}
        none = {"title": "None", "x": "x", "y": "us", "where": {"place": "nowhere"}}
        self.add("bench-thing", result_of(charts=[line, bar, some, none]))
        self.run_report()
        svgs = self.svgs()
        self.assertEqual(list(svgs), ["thing-1-1.svg", "thing-2-1.svg", "thing-2-2.svg", "thing-3-1.svg"])
        for name in svgs:
            self.assertIn(f"({name})", self.page())
        lines = svgs["thing-1-1.svg"]
        self.assertEqual(len(lines.findall(f"{SVG}polyline")), 2)
        texts = [text.text for text in lines.findall(f"{SVG}text")]
        for text in ("Lines", "things", "microseconds", "here", "there <&>"):
            self.assertIn(text, texts)
        self.assertIn("prefers-color-scheme: dark", lines.find(f"{SVG}style").text)
        titles = [svgs[name].find(f"{SVG}title").text for name in ("thing-2-1.svg", "thing-2-2.svg")]
        self.assertEqual(titles, ["Bars (here)", "Bars (there <&>)"])
        self.assertEqual(len(svgs["thing-3-1.svg"].findall(f"{SVG}polyline")), 1)

    def test_larger_is_higher(self):
        self.add("bench-thing", result_of(charts=[{"title": "Lines", "x": "x", "y": "us", "where": {"place": "here"}}]))
        self.run_report()
        points = self.svgs()["thing-1-1.svg"].find(f"{SVG}polyline").get("points")
        xs, ys = zip(*(map(float, point.split(",")) for point in points.split()))
        self.assertEqual(sorted(xs), list(xs))
        self.assertEqual(sorted(ys, reverse=True), list(ys))

    def test_zeros_and_one_point(self):
        rows = [{"x": 0, "us": 0.0}]
        self.add("bench-thing", result_of(rows=rows, charts=[{"title": "A", "x": "x", "y": "us"},
                                                             {"title": "B", "kind": "bar", "x": "x", "y": "us"}]))
        self.run_report()
        self.assertEqual(len(self.svgs()), 2)

    def test_smoke_runs_say_nothing_of_targets(self):
        self.add("bench-thing", result_of(smoke=True))
        self.run_report("--smoke")
        for text in ("holds", "missed"):
            self.assertNotIn(text, self.page())
        self.assertIn("| thing | unknown | - | ≥ 1 | not measured |", self.page())

    def test_which_and_how(self):
        first, second = self.add("bench-one", result_of()), self.add("more/bench-two", result_of())
        self.run_report("--smoke")
        self.assertIn("A smoke run", self.page())
        for path in (first, second):
            self.assertEqual(path.with_name(path.name + ".args").read_text(encoding="utf-8"), "--json --smoke\n")
        self.run_report("--only=two", "--seconds=7")
        self.assertNotIn("## one", self.page())
        self.assertIn("--seconds=7", self.page())
        self.assertIn("there is no bench-three", self.run_report("--only=three", status=2).stderr)

    def test_what_differs_stands_with_its_benchmark(self):
        self.add("bench-one", result_of(machine={"cpu": "A CPU", "load": 1.5}))
        self.add("bench-two", result_of(machine={"cpu": "A CPU", "load": 2.5}))
        self.run_report()
        top, _, one, two = self.page().split("\n## ")
        self.assertIn("- cpu: A CPU", top)
        self.assertNotIn("load", top)
        self.assertIn("- load: 1.5", one)
        self.assertIn("- load: 2.5", two)
        self.assertEqual(self.page().count("A CPU"), 1)

    def test_a_busy_machine_is_seen_beside_the_verdicts(self):
        self.add("bench-one", result_of(machine={"others_cpu_percent": 4.0, "stolen_cpu_percent": 2.0}))
        self.add("bench-two", result_of(machine={"others_cpu_percent": 4.0}))
        self.run_report()
        self.assertIn("of the machine during one: ", self.page().split("\n## ")[1])

    def test_skipped(self):
        self.add("bench-thing", result_of(), '#!/bin/sh\necho "skipped: no gRPC"\nexit 77\n')
        self.add("bench-zebra", result_of())
        self.run_report()
        self.assertIn("## thing\n\nskipped: no gRPC.", self.page())
        self.assertRegex(self.page(), r"\| thing \|.*\| not measured: skipped: no gRPC \|")
        self.assertIn("| zebra | good |", self.page())

    def test_failed(self):
        self.add("bench-thing", result_of(), "#!/bin/sh\nexit 1\n")
        self.add("bench-talks", result_of(), "#!/bin/sh\necho hello\n")
        self.add("bench-zebra", result_of())
        self.assertIn("thing: failed: exit code 1", self.run_report(status=1).stderr)
        self.assertIn("no JSON", self.page())
        self.assertRegex(self.page(), r"\| thing \|.*\| not measured: failed: exit code 1 \|")
        self.assertIn("| zebra | good |", self.page())

    def test_nothing_built(self):
        self.assertIn("build them first", self.run_report(status=2).stderr)


if __name__ == "__main__":
    unittest.main()
