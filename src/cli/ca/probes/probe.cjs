// Asks Node's https for a page of HOST, which is led to PORT on loopback, and tells how it went.
const https = require("node:https");

const [host, port] = process.argv.slice(2);

function tell(trusted, detail) {
  console.log(JSON.stringify({ library: "https", trusted, detail }));
}

const request = https.get(
  { host: "127.0.0.1", port: Number(port), servername: host, headers: { host }, agent: false, timeout: 10000 },
  (response) => {
    response.resume();
    tell(true, null);
  },
);
request.on("timeout", () => request.destroy(new Error("no answer")));
request.on("error", (error) => tell(false, `${error.code ?? error.name}: ${error.message}`));
