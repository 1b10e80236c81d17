// Preloaded by `tollgate run --node-hook`: leads calls to Amazon Bedrock through the proxy that HTTPS_PROXY names.
//
// 1. The Bedrock clients of the AWS SDK for JavaScript v3 get the SDK's HTTP/1.1 handler in place of the HTTP/2 one. This
//    has to happen before a request is signed: for HTTP/2 the signature covers `:authority`, for HTTP/1.1 `host`.
// 2. A connection that an https.Agent opens to a Bedrock host begins with CONNECT at the proxy.
//
// Other hosts and other clients are left as they are. What a bundler has put into one file is out of reach for 1.
"use strict";

const http = require("node:http");
const https = require("node:https");
const Module = require("node:module");

const BEDROCK_HOST = /^(vpce-[0-9a-z-]+\.)?bedrock-(runtime|mantle|agent-runtime)(-fips)?\.[0-9a-z-]+\./i;
const BEDROCK_CLIENT = /[\\/]@aws-sdk[\\/]client-bedrock-(agent-)?runtime[\\/]/;
const HANDLERS = "@smithy/node-http-handler";

const proxy = parse(process.env.https_proxy || process.env.HTTPS_PROXY);
if (proxy) {
  swapHandlers();
  openTunnels();
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
