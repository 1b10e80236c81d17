// Preloaded by `tollgate run --node-hook`: leads calls to Amazon Bedrock through the proxy that HTTPS_PROXY names.
//
// 1. The Bedrock clients of the AWS SDK for JavaScript v3 get the SDK's HTTP/1.1 handler in place of the HTTP/2 one. This
//    has to happen before a request is signed: for HTTP/2 the signature covers `:authority`, for HTTP/1.1 `host`.
// 2. A connection that an https.Agent opens to a Bedrock host begins with CONNECT at the proxy.
// 3. So does one that fetch() opens, where this Node.js is too old for NODE_USE_ENV_PROXY.
//
// Other hosts and other clients are left as they are. What a bundler has put into one file is out of reach for 1.
"use strict";

const http = require("node:http");
const https = require("node:https");
const Module = require("node:module");
const tls = require("node:tls");

const BEDROCK_HOST = /^(vpce-[0-9a-z-]+\.)?bedrock-(runtime|mantle|agent-runtime)(-fips)?\.[0-9a-z-]+\./i;
const BEDROCK_CLIENT = /[\\/]@aws-sdk[\\/]client-bedrock-(agent-)?runtime[\\/]/;
const HANDLERS = "@smithy/node-http-handler";

const proxy = parse(process.env.https_proxy || process.env.HTTPS_PROXY);
if (proxy) {
  swapHandlers();
  openTunnels();
  wrapFetch();
}

function parse(text) {
  try {
    const url = new URL(text);
    return url.protocol === "http:" ? url : undefined;
  } catch {
    return undefined;
  }
}

function swapHandlers() {
  const load = Module._load;
  Module._load = function (request, parent, ...rest) {
    const loaded = load.call(this, request, parent, ...rest);
    if (request !== HANDLERS || !BEDROCK_CLIENT.test(parent?.filename ?? "") || !loaded.NodeHttpHandler) {
      return loaded;
    }
    return { ...loaded, NodeHttp2Handler: loaded.NodeHttpHandler };
  };
}

function openTunnels() {
  const connect = https.Agent.prototype.createConnection;
  https.Agent.prototype.createConnection = function (options, callback) {
    const host = options.servername || options.host;
    // A socket that is there already is somebody else's tunnel.
    if (options.socket || !callback || !BEDROCK_HOST.test(host ?? "")) {
      return connect.call(this, options, callback);
    }
    tunnel(`${options.host}:${options.port || 443}`, (error, socket) => {
      if (error) {
        callback(error);
        return;
      }
      callback(null, connect.call(this, { ...options, servername: host, socket }));
    });
    return undefined;
  };
}

// The Agent behind fetch() has no public name before Node.js 24; one that heeds the variables itself has another class.
function wrapFetch() {
  const dispatcher = Symbol.for("undici.globalDispatcher.1");
  const fetch = globalThis.fetch;
  let agent;
  globalThis.fetch = function (input, init) {
    if (init?.dispatcher || !BEDROCK_HOST.test(hostOf(input))) {
      return fetch(input, init);
    }
    // Loads the dispatcher.
    new Request("http://localhost/");
    const Agent = globalThis[dispatcher]?.constructor;
    if (Agent?.name !== "Agent") {
      return fetch(input, init);
    }
    agent ??= new Agent({ connect: connectTls });
    return fetch(input, { ...init, dispatcher: agent });
  };
}

function hostOf(input) {
  try {
    const url = new URL(input instanceof Request ? input.url : input);
    return url.protocol === "https:" ? url.hostname : "";
  } catch {
    return "";
  }
}

function connectTls(options, callback) {
  const servername = options.servername || options.hostname;
  tunnel(`${options.hostname}:${options.port || 443}`, (error, socket) => {
    if (error) {
      callback(error, null);
      return;
    }
    const secure = tls.connect({ socket, servername, ALPNProtocols: ["http/1.1"] });
    const failed = (error) => callback(error, null);
    secure.once("error", failed);
    secure.once("secureConnect", () => {
      secure.off("error", failed);
      callback(null, secure);
    });
  });
}

function tunnel(authority, done) {
  const headers = { host: authority };
  if (proxy.username) {
    const credentials = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
    headers["proxy-authorization"] = `Basic ${Buffer.from(credentials).toString("base64")}`;
  }
  const request = http.request({
    agent: false,
    method: "CONNECT",
    // URL keeps the brackets of an IPv6 address.
    host: proxy.hostname.replace(/^\[|\]$/g, ""),
    port: proxy.port || 80,
    path: authority,
    headers,
  });
  request.once("connect", (response, socket) => {
    if (response.statusCode === 200) {
      done(null, socket);
      return;
    }
    socket.destroy();
    done(new Error(`the proxy ${proxy.host} answered CONNECT ${authority} with ${response.statusCode}`));
  });
  request.once("error", done);
  request.end();
}
