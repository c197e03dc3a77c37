// What Google's CSP evaluator finds in the policy of the first argument: a JSON list of its findings of high or medium severity.
import { createRequire } from "node:module";

const require = createRequire("/opt/scanners/node/");
const { CspEvaluator } = require("csp_evaluator");
const { CspParser } = require("csp_evaluator/dist/parser.js");
const { Severity } = require("csp_evaluator/dist/finding.js");

const findings = new CspEvaluator(new CspParser(process.argv[2]).csp).evaluate();
console.log(JSON.stringify(findings.filter((finding) => finding.severity <= Severity.MEDIUM)));
