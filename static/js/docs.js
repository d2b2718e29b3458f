// The API's reference, from our own files: works offline.
import { base } from "./base.js";
SwaggerUIBundle({ url: `${base}/api/v1/openapi.json`, dom_id: "#docs", deepLinking: true, tryItOutEnabled: true });
