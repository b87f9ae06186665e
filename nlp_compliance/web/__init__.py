"""The HTTP edge: schemas, errors, the bounded queue in front of the checker, routes."""
