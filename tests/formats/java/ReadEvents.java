import java.io.EOFException;
import java.io.ObjectInputStream;
import java.util.HashMap;
import java.util.Map;
import nl.justobjects.pushlet.core.Event;

/**
 * Reads events from standard input and prints each as soon as it is complete: one line, a JSON array of names and
 * values in turn.
 */
public final class ReadEvents {
    public static void main(String[] arguments) throws Exception {
        ObjectInputStream input = new ObjectInputStream(System.in);
        while (true) {
            Object read;
            try {
                read = input.readObject();
            } catch (EOFException end) {
                return;
            }
            Map<String, String> attributes = ((Event) read).attributes;
            if (attributes.getClass() != HashMap.class) {
                throw new IllegalStateException("not a HashMap: " + attributes.getClass());
            }
            StringBuilder line = new StringBuilder("[");
            for (Map.Entry<String, String> attribute : attributes.entrySet()) {
                line.append(line.length() > 1 ? "," : "");
                escape(attribute.getKey(), line);
                line.append(',');
                escape(attribute.getValue(), line);
            }
            System.out.println(line.append(']'));
            System.out.flush();
        }
    }

    private static void escape(String text, StringBuilder line) {
        line.append('"');
        for (int at = 0; at < text.length(); at++) {
            char unit = text.charAt(at);
            if (unit >= ' ' && unit < 127 && unit != '"' && unit != '\\') {
                line.append(unit);
            } else {
                line.append(String.format("\\u%04x", (int) unit));
            }
        }
        line.append('"');
    }
}
