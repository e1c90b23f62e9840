// Reads a JSON list of LogQL queries from standard input and writes a JSON list: null for one that the grammar accepts,
// else the place of the first error. The grammar is error-tolerant: an error is a node in its tree.
import { readFileSync } from 'node:fs';
import { parser } from '@grafana/lezer-logql';

const answers = JSON.parse(readFileSync(0, 'utf8')).map((query) => {
  let fault = null;
  parser.parse(query).iterate({
    enter: (node) => {
      if (node.type.isError && fault === null) fault = `at ${node.from}: ${query.slice(node.from, node.from + 30)}`;
    },
  });
  return fault;
});
process.stdout.write(JSON.stringify(answers));
