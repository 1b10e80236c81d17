// For NODE_OPTIONS=--import=…/use_env_proxy.mjs: every fetch of a program that knows nothing of it heeds HTTPS_PROXY.
import { EnvHttpProxyAgent, setGlobalDispatcher } from "undici";

setGlobalDispatcher(new EnvHttpProxyAgent());
