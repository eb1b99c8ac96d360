// Which subjects a pattern stands for.

/** Whether `pattern` stands for `subject`: `*` is one segment with text, `**` at the end the rest. Neither is the `$` at the beginning of the server's own. */
export function matches(pattern: string, subject: string): boolean {
    if (pattern[0] === "*" && subject[0] === "$") return false;
    const parts = pattern.split("/");
    const segments = subject.split("/");
    for (const [place, part] of parts.entries()) {
        if (part === "**") return place < segments.length;
        if (part === "*" ? !segments[place] : part !== segments[place]) return false;
    }
    return parts.length === segments.length;
}
