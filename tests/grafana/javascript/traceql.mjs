// Reads TraceQL queries as a JSON list on standard input; prints those with a syntax error, each with where it is.
import { readFileSync } from "node:fs";
import { parser } from "@grafana/lezer-traceql";

const wrong = [];
for (const query of JSON.parse(readFileSync(0, "utf8"))) {
  parser.parse(query).iterate({
    enter: (node) => {
      if (node.type.isError) wrong.push({ query, at: node.from });
    },
  });
}
console.log(JSON.stringify(wrong));
