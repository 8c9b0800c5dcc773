// The same request as a curl line and as Python, which needs the standard library alone.

import { el, button } from "./dom.js";
import { address, hasKey } from "./server.js";

const KEY = "SLIPWAY_KEY"; // the environment variable of the lines

/** Return a box with both forms of a request. `output` is the file of an answer that is an image. */
export function codeBox(request, output = null) {
  return el("details", { class: "code" },
    el("summary", {}, "The same with curl or Python"),
    block("curl", curlLine(request, output)),
    block("Python", pythonLines(request, output)));
}

function block(name, text) {
  const said = el("span", { class: "note", role: "status" });
  const copy = button(`Copy ${name}`, async () => {
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "The browser does not let this page copy: select the text.";
    }
  });
  return el("div", { class: "block" }, el("pre", {}, el("code", {}, text)), el("p", {}, copy, said));
}

export function curlLine({ path, files, query = [] }, output) {
  const key = hasKey() ? [`-H "Authorization: Bearer $${KEY}"`] : [];
  const parts = files.map(([field, value]) => value instanceof Blob
    ? `-F ${shell(`${field}=@${fileOfForm(value.name)}`)}`
    : `--form-string ${shell(`${field}=${value}`)}`);
  const options = query.map(([name, value]) => `--form-string ${shell(`${name}=${value}`)}`);
  const target = output ? [`-o ${shell(output)}`] : [];
  return ["curl", ...key, ...parts, ...options, ...target, shell(address(path))].join(" ");
}

export function pythonLines(request, output) {
  const [head, call] = isRawFile(request) ? rawCall(request) : jsonCall(request);
  const authorization = `{"Authorization": "Bearer " + os.environ["${KEY}"]}`;
  return [
    ...(hasKey() ? ["import os"] : []),
    ...head,
    ...call,
    ...(hasKey() ? [`request.headers.update(${authorization})`] : []),
    "with urlopen(request) as response:",
    ...(output
      ? [`    Path(${python(output)}).write_bytes(response.read())`]
      : ["    print(json.load(response))"]),
  ].join("\n");
}

const isRawFile = ({ files }) => files.length === 1 && files[0][1] instanceof Blob;

function rawCall({ path, files, query = [] }) {
  const options = query.length ? `?${new URLSearchParams(query)}` : "";
  return [
    ["import json", "from pathlib import Path", "from urllib.request import Request, urlopen", ""],
    [
      `data = Path(${python(files[0][1].name)}).read_bytes()`,
      `request = Request(${python(address(path) + options)}, data)`,
    ],
  ];
}

function jsonCall({ path, files, query = [] }) {
  const names = [...new Set(files.map(([field]) => field))];
  const fields = names.map((name) => {
    const values = files.filter(([field]) => field === name).map(([, value]) => literal(value));
    return `    ${python(name)}: ${values.length === 1 ? values[0] : `[${values.join(", ")}]`},`;
  });
  const options = query.map(([name, value]) => `    ${python(name)}: ${python(value)},`);
  const hasFiles = files.some(([, value]) => value instanceof Blob);
  return [
    [
      ...(hasFiles ? ["from base64 import b64encode"] : []),
      "import json", "from pathlib import Path", "from urllib.request import Request, urlopen", "",
      ...(hasFiles ? ["", "def base64(name):",
        "    return b64encode(Path(name).read_bytes()).decode()", "", ""] : []),
    ],
    [
      "fields = {", ...fields, ...options, "}",
      `request = Request(${python(address(path))}, json.dumps(fields).encode())`,
      'request.add_header("Content-Type", "application/json")',
    ],
  ];
}

const literal = (value) => value instanceof Blob ? `base64(${python(value.name)})` : python(value);
const python = (text) => JSON.stringify(text);
const shell = (text) => /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

// curl reads ; and , after a file name as options, unless the name is in quotes
function fileOfForm(name) {
  return /[;,"\\]/.test(name) ? `"${name.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"` : name;
}
