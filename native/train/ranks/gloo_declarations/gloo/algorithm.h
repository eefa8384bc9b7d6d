// c10d includes this for names that this project does not use.
