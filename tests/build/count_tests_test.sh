#!/bin/bash
# count_tests_test.sh COUNT_TESTS_PY
#
# Every way in which a test can fail must be counted: CI's result is this count.

set -euo pipefail

program="$1"
work="${TEST_TMPDIR:?}"

# expect NAME "PASSED FAILED SKIPPED": of the events on stdin.
expect() {
  local name="$1" expected="$2" actual
  cat > "${work}/events.json"
  actual="$(python3 "${program}" "${work}/events.json" 2> "${work}/stderr")"
  if [[ "${actual}" != "${expected}" ]]; then
    echo "FAILED ${name}: expected ${expected}, got ${actual}" >&2
    cat "${work}/stderr" >&2
    exit 1
  fi
}

configured() {
  echo "{\"id\":{\"targetConfigured\":{\"label\":\"$1\"}},\"configured\":{\"testSize\":\"SMALL\"}}"
}
# completed LABEL true|false
completed() {
  echo "{\"id\":{\"targetCompleted\":{\"label\":\"$1\"}},\"completed\":{\"success\":$2}}"
}
# result LABEL STATUS XML_FILE
result() {
  echo "{\"id\":{\"testResult\":{\"label\":\"$1\",\"run\":1,\"shard\":1,\"attempt\":1}}," \
    "\"testResult\":{\"status\":\"$2\",\"testActionOutput\":[" \
    "{\"name\":\"test.log\",\"uri\":\"file:///nowhere\"}," \
    "{\"name\":\"test.xml\",\"uri\":\"file://$3\"}]}}"
}

# A file of GoogleTest: of five cases two passed, one failed (twice), one was skipped, one is
# disabled.
cat > "${work}/gtest.xml" << 'XML'
<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="5" failures="1" disabled="1" errors="0" name="AllTests">
  <testsuite name="A" tests="5" failures="1" disabled="1" skipped="1" errors="0">
    <testcase name="One" status="run" result="completed" classname="A" />
    <testcase name="Two" status="run" result="completed" classname="A" />
    <testcase name="Three" status="run" result="completed" classname="A">
      <failure message="x" type=""><![CDATA[x]]></failure>
      <failure message="y" type=""><![CDATA[y]]></failure>
    </testcase>
    <testcase name="Four" status="run" result="skipped" classname="A">
      <skipped message="no GPU"><![CDATA[no GPU]]></skipped>
    </testcase>
    <testcase name="Five" status="notrun" result="suppressed" classname="A" />
  </testsuite>
</testsuites>
XML
# A file that Bazel writes for a test that writes none.
cat > "${work}/shell_good.xml" << 'XML'
<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="sh" tests="1" failures="0" errors="0">
    <testcase name="sh" status="run" duration="0" time="0"></testcase>
    <system-out>fine</system-out>
  </testsuite>
</testsuites>
XML
cat > "${work}/shell_bad.xml" << 'XML'
<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="sh" tests="1" failures="0" errors="1">
    <testcase name="sh" status="run" duration="0" time="0">
      <error message="exited with error code 1"></error>
    </testcase>
  </testsuite>
</testsuites>
XML
echo '<testsuites><testsuite name="A"><testcase na' > "${work}/cut.xml"

{
  configured //a:gtest
  completed //a:gtest true
  result //a:gtest FAILED "${work}/gtest.xml"
} | expect "cases of GoogleTest" "2 1 2"

{
  configured //a:sh
  result //a:sh PASSED "${work}/shell_good.xml"
  configured //a:sh2
  result //a:sh2 FAILED "${work}/shell_bad.xml"
} | expect "scripts" "1 1 0"

{
  configured //a:crashed
  result //a:crashed FAILED "${work}/absent.xml"
  configured //a:timeout
  result //a:timeout TIMEOUT "${work}/cut.xml"
  configured //a:crashed_late
  result //a:crashed_late FAILED "${work}/shell_good.xml"
} | expect "a crash has no failed case" "1 3 0"

{
  configured //a:broken
  completed //a:broken false
  completed //a:library false
  configured //a:never_run
  completed //a:never_run true
} | expect "what did not build or run" "0 3 0"

{
  configured //a:other_platform
  echo '{"id":{"targetCompleted":{"label":"//a:other_platform"}},"aborted":{"reason":"SKIPPED"}}'
} | expect "a target for another platform" "0 0 0"

{
  configured //a:sh
  result //a:sh PASSED "${work}/shell_good.xml"
  echo '{"id":{"testRes'
} | expect "events that stop in the middle" "1 0 0"

expect "no events" "0 0 0" < /dev/null
