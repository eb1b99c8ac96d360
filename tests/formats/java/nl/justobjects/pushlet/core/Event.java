package nl.justobjects.pushlet.core;

import java.io.Serializable;
import java.util.Map;

/**
 * What a Java client must have to read format {@code ser}: the name, the version and the one field that the stream
 * tells of.
 */
public class Event implements Serializable {
    private static final long serialVersionUID = 9167953670946748621L;

    /** Names to values. */
    public Map<String, String> attributes;
}
