"""Turn values into what people and programs read: tables and versioned JSON documents."""
