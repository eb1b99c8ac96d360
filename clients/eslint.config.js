// What must be clean before anything lands: classic clients are plain scripts, pages are modules or scripts, checks run in Node.
import js from "@eslint/js";
import globals from "globals";

const strict = {
    "no-eval": "error",
    "no-implied-eval": "error",
    "no-new-func": "error",
    "no-script-url": "error",
    "no-var": "off",
    eqeqeq: "error",
    "no-unused-vars": ["error", { args: "after-used" }],
};

export default [
    { linterOptions: { reportUnusedDisableDirectives: "error" } },
    // Built from js/, whose sources the compiler checks.
    { ignores: ["js/dist/", "modern/"] },
    { ...js.configs.recommended, files: ["**/*.js"] },
    {
        files: ["classic/**/*.js"],
        languageOptions: { ecmaVersion: 2017, sourceType: "script", globals: globals.browser },
        rules: strict,
    },
    {
        files: ["demo/**/*.js"],
        languageOptions: { ecmaVersion: 2022, sourceType: "module", globals: globals.browser },
        rules: strict,
    },
    {
        files: ["test/**/*.js", "*.js", "js/*.js"],
        languageOptions: { ecmaVersion: 2022, sourceType: "module", globals: { ...globals.node } },
        rules: strict,
    },
];
