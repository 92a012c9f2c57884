#!/usr/bin/env python3
"""Counts test cases in the results of one `bazel test`.

  bazel test --build_event_json_file=events.json //...
  tools/count_tests.py events.json

Prints "PASSED FAILED SKIPPED", three numbers, and names each failure on stderr. The files below
bazel-testlogs may be of earlier runs, so only results in the events count. A test target without a
result (it did not build) is one failure; so is one with a bad result but no failed case (it crashed
or ran out of time).
"""

import json
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree


def read_events(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                return  # Bazel was killed in the middle of a line.


def count_cases(xml_path):
    """Returns (passed, failed names, skipped) of a test.xml."""
    passed, failed, skipped = 0, [], 0
    for case in xml.etree.ElementTree.parse(xml_path).getroot().iter("testcase"):
        name = case.get("classname", "") + "." + case.get("name", "")
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name.strip("."))
        elif (case.find("skipped") is not None or
              case.get("result") in ("skipped", "suppressed") or
              case.get("status") == "notrun"):
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def local_path(uri):
    return urllib.request.url2pathname(urllib.parse.urlparse(uri).path)


def main(events_path):
    tests = set()      # Labels of the test targets.
    not_built = set()  # Labels of targets that failed to build, tests or not.
    attempts = {}      # (label, run, shard) -> its last result.
    for event in read_events(events_path):
        event_id = event.get("id", {})
        if "targetConfigured" in event_id:
            if event.get("configured", {}).get("testSize"):
                tests.add(event_id["targetConfigured"]["label"])
        elif "targetCompleted" in event_id:
            # Bazel aborts targets of other platforms or tags as SKIPPED.
            label = event_id["targetCompleted"]["label"]
            reason = event.get("aborted", {}).get("reason")
            if reason == "SKIPPED":
                tests.discard(label)
            elif not event.get("completed", {}).get("success"):
                not_built.add(label)
        elif "testResult" in event_id and "testResult" in event:
            key = event_id["testResult"]
            attempt = (key["label"], key.get("run", 1), key.get("shard", 1))
            previous = attempts.get(attempt)
            if previous is None or previous[0] <= key.get("attempt", 1):
                attempts[attempt] = (key.get("attempt", 1), event["testResult"])

    passed, failed, skipped = 0, [], 0
    for (label, _, _), (_, result) in sorted(attempts.items()):
        good = result.get("status") in ("PASSED", "FLAKY")
        cases = (0, [], 0)
        for output in result.get("testActionOutput", []):
            if output.get("name") == "test.xml":
                try:
                    cases = count_cases(local_path(output["uri"]))
                except (OSError, xml.etree.ElementTree.ParseError):
                    pass  # The target counts as one case, below.
        if good and not cases[0] and not cases[1] and not cases[2]:
            cases = (1, [], 0)
        if not good and not cases[1]:
            cases = (cases[0], [result.get("status", "no status")], cases[2])
        passed += cases[0]
        failed += [label + " " + name for name in cases[1]]
        skipped += cases[2]
    without_result = (tests | not_built) - {label for label, _, _ in attempts}
    failed += [label + (" did not build" if label in not_built else " did not run")
               for label in sorted(without_result)]
    for name in failed:
        print("FAILED", name, file=sys.stderr)
    print(passed, len(failed), skipped)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: count_tests.py EVENTS_JSON_FILE")
    main(sys.argv[1])
