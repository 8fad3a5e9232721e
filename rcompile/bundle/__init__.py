"""The compiled model as files: schema, writing all or nothing, reading without trust."""
