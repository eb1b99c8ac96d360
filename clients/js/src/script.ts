// The build for <script>: one global, `pushletd`.
import { PushletError } from "./api.js";
import { connect } from "./index.js";

(globalThis as any).pushletd = { connect, PushletError };
